"""Training: mini-batch gradient descent with truncated backpropagation through time."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from math import ceil, inf, isfinite
from types import SimpleNamespace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from charrnn.errors import DivergenceError, InputError
from charrnn.evaluation import evaluate
from charrnn.layers import LastStep
from charrnn.losses import SparseCategoricalCrossentropy
from charrnn.optimizers import Nadam, Optimizer, clip_by_global_norm
from charrnn.preprocessing import batches, stream_length, streams, windows

TARGETS = ("every", "last")
NUMBERS_A_THREAD = 4096  # of a layer's output at one time step; with fewer, threads wait for Python more than they work

History = list[dict[str, float]]


@dataclass(frozen=True)
class Part:
    """Some of a batch's sequences, with all that a thread needs to work on them beside the others."""

    columns: slice
    share: float  # of the batch
    model: Any  # on the parameters of the model that is trained, with a gradient of its own if it is not the only one
    work: Any
    loss: SimpleNamespace


def batch_work(model, T: int, B: int, num_threads: int = 1) -> list[Part]:
    """The buffers of `loss_and_gradient` for batches (T, B), cut into one part for each thread that pays."""
    width = max(layer.output_dim for layer in model.layers)
    num_parts = max(1, min(num_threads, B, B * width // NUMBERS_A_THREAD))
    bounds = np.linspace(0, B, num_parts + 1).astype(int)
    parts = []
    for start, stop in zip(bounds, bounds[1:]):
        columns = slice(int(start), int(stop))
        of_part = model if not parts else model.with_layers(model.layers)
        work = model.work(T, stop - start)
        loss = SparseCategoricalCrossentropy().work(
            work.output_steps, stop - start, model.layers[-1].output_dim, model.dtype
        )
        parts.append(Part(columns, (stop - start) / B, of_part, work, loss))
    return parts


def loss_and_gradient(model, x, y, parts: list[Part], state=None, map=map) -> float:
    """The mean loss of one batch in nats; its gradient goes to `model.gradient`.

    x and y are (T, B) ids, `parts` comes from `batch_work`, and `map` is that of a thread pool if there are several. A
    model that keeps only the last time step is held against the last ids alone.
    """

    def of_part(part: Part) -> float:
        cross_entropy = SparseCategoricalCrossentropy()
        before = state and [{name: h[part.columns] for name, h in of_layer.items()} for of_layer in state]
        logits = part.model.forward(x[:, part.columns], part.work, before)
        loss = cross_entropy.forward(logits, y[-len(logits) :, part.columns], part.loss)
        part.model.backward(cross_entropy.backward(part.loss), part.work)
        return part.share * loss

    loss = sum(map(of_part, parts))
    if len(parts) > 1:
        model.gradient *= parts[0].share
        for part in parts[1:]:
            part.model.gradient *= part.share
            model.gradient += part.model.gradient
    return loss


@contextmanager
def workers(num_parts: int) -> Iterator[Callable]:
    """The `map` for `loss_and_gradient`: a thread for each of several parts, and one thread each for their BLAS."""
    if num_parts == 1:
        yield map
    else:
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(num_parts) as pool:
            yield pool.map


def final_state(parts: list[Part]):
    """The state in which the batch of the last `loss_and_gradient` ended."""
    of_parts = [part.model.final_state(part.work) for part in parts]
    return [
        {name: np.concatenate([of_part[i][name] for of_part in of_parts]) for name in of_layer}
        for i, of_layer in enumerate(of_parts[0])
    ]


def fit(
    model,
    train_ids: np.ndarray,
    validation_ids: np.ndarray,
    *,
    rng: np.random.Generator,
    optimizer: Optimizer = Nadam(),
    num_epochs: int = 10,
    batch_size: int = 32,
    window_size: int = 100,
    stride: int | None = None,
    targets: str = "every",
    carry_state: bool = False,
    clip_norm: float = 0.0,
    num_threads: int = 1,
    on_batch: Callable[[int, int, int, float], None] | None = None,
    on_epoch: Callable[[History], None] | None = None,
) -> History:
    """Train a model in place, and measure it on the validation text after every epoch.

    Parameters
    ----------
    model
        A `charrnn.models.Model`.
    train_ids, validation_ids
        (n,) ids in text order; may be memory maps.
    rng
        Shuffles the windows, as `charrnn.preprocessing.batches` tells.
    window_size
        T, the time steps that gradients flow back through.
    stride
        Characters from the beginning of one window to that of the next, at most `window_size`, which it is unless
        told otherwise; below that, windows overlap.
    targets
        "every": each position of a window predicts its next character. "last": only the final hidden state does.
    carry_state
        False: windows come shuffled, and each starts from a zero state. True: the text is read as `batch_size`
        stretches side by side, each batch starting from the state in which the one before ended; there is no
        shuffling, and `stride` is `window_size`.
    clip_norm
        Scale gradients down to this norm; 0 leaves them as they are.
    num_threads
        How many parts a large batch is cut into, each worked on by a thread of its own. Another number gives results
        that differ by rounding.
    on_batch
        Called after every batch with the epoch, the batch (both from 1), the number of batches and the loss.
    on_epoch
        Called after every epoch with the history so far.

    Returns
    -------
    list of dict
        A row an epoch: `epoch`, `train_loss` (the mean over the epoch while the weights were changing),
        `validation_loss` (both nats per character), `validation_accuracy`, `learning_rate`, and `gradient_norm`, the
        mean before clipping.

    Raises
    ------
    InputError
        If a setting is out of its range, or a text too short.
    DivergenceError
        As soon as a loss or a gradient is not finite.
    """
    stride = window_size if stride is None else stride
    counts = dict(
        num_epochs=num_epochs, batch_size=batch_size, window_size=window_size, stride=stride, num_threads=num_threads
    )
    for name, value in counts.items():
        if not isinstance(value, int | np.integer) or value < 1:
            raise InputError(f"{name} is {value!r}; it must be an integer of at least 1")
    if not 0 <= clip_norm < inf:
        raise InputError(f"clip_norm is {clip_norm!r}; it must be a finite number of at least 0")
    if targets not in TARGETS:
        raise InputError(f"targets is {targets!r}; it must be one of {', '.join(TARGETS)}")
    if stride > window_size and not carry_state:
        raise InputError(f"stride is {stride}; it must be at most window_size, {window_size}, or text would be skipped")
    if len(validation_ids) < 2:
        raise InputError(f"the validation text has {len(validation_ids)} characters; it must have at least 2")
    if targets == "last":
        trainee = model.with_layers([*model.layers[:-1], LastStep(model.layers[-1].input_dim), model.layers[-1]])
    else:
        trainee = model
    train_windows = windows(train_ids, window_size, window_size if carry_state else stride)
    memory = optimizer.state(model.parameters)
    parts_of = cache(lambda T, B: batch_work(trainee, T, B, num_threads))
    history: History = []

    for epoch in range(1, num_epochs + 1):
        if carry_state:
            num_batches = ceil(stream_length(len(train_ids), batch_size) / window_size)
            pairs = streams(train_ids, batch_size, window_size)
        else:
            num_batches = ceil(len(train_windows) / batch_size)
            pairs = batches(train_windows, batch_size, rng)

        state, total_loss, total_norm, positions = None, 0.0, 0.0, 0
        with workers(len(parts_of(window_size, batch_size))) as map:
            for batch, (x, y) in enumerate(pairs, start=1):
                parts = parts_of(*x.shape)
                loss = loss_and_gradient(trainee, x, y, parts, state, map)
                norm = clip_by_global_norm(trainee.gradient, clip_norm or inf)
                _require_finite(f"epoch {epoch}, batch {batch}", loss, norm)
                optimizer.update(model.parameters, trainee.gradient, memory)
                if carry_state:
                    state = final_state(parts)

                total_loss += loss * x.size
                total_norm += norm
                positions += x.size
                if on_batch:
                    on_batch(epoch, batch, num_batches, loss)

        validation = evaluate(model, validation_ids, num_streams=batch_size)
        _require_finite(f"epoch {epoch}", validation["loss"], norm)
        history.append(
            {
                "epoch": epoch,
                "train_loss": total_loss / positions,
                "validation_loss": validation["loss"],
                "validation_accuracy": validation["accuracy"],
                "learning_rate": optimizer.learning_rate,
                "gradient_norm": total_norm / batch,
            }
        )
        if on_epoch:
            on_epoch(history)
    return history


def _require_finite(when: str, loss: float, norm: float) -> None:
    if not (isfinite(loss) and isfinite(norm)):
        raise DivergenceError(
            f"training diverged in {when}: the loss is {loss} and the gradient's norm {norm}; "
            "try a lower learning_rate or a clip_norm between 0.1 and 5"
        )
