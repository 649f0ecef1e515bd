"""Training: mini-batch gradient descent with truncated backpropagation through time."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from itertools import pairwise
from math import ceil, inf, isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from charrnn.arrays import Array, State
from charrnn.checkpoint import TrainingState
from charrnn.errors import DivergenceError, InputError
from charrnn.evaluation import evaluate
from charrnn.layers import Dropout, Embedding, LastStep, Masks
from charrnn.optimizers import Nadam, Optimizer, clip_by_global_norm, decay_weights
from charrnn.parts import batch_work, final_state, loss_and_gradient
from charrnn.preprocessing import batches, stream_length, streams, windows
from charrnn.projection import EmbeddingOfRows, pays
from charrnn.ranks import ALONE, JointSum, Ranks
from charrnn.schedules import SCHEDULES, learning_rate
from charrnn.threads import threads

if TYPE_CHECKING:  # models.py imports this module
    from charrnn.models import Model

TARGETS = ("every", "last")

History = list[dict[str, float]]


def fit(
    model: "Model",
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
    dropout: float = 0.0,
    weight_decay: float = 0.0,
    schedule: str = "constant",
    warmup_batches: int = 0,
    final_learning_rate: float = 0.0,
    patience: int = 0,
    num_threads: int = 1,
    ranks: Ranks = ALONE,
    resume: TrainingState | None = None,
    stopped: Callable[[], bool] = lambda: False,
    on_batch: Callable[[TrainingState, float], None] | None = None,
    on_stop: Callable[[TrainingState], None] | None = None,
    on_epoch: Callable[[TrainingState], None] | None = None,
) -> History:
    """Train a model in place, measure it on the validation text after every epoch, and leave it as it was at its best.

    Parameters
    ----------
    model
        A `charrnn.models.Model`.
    train_ids, validation_ids
        (n,) ids in text order; may be memory maps.
    rng
        Shuffles the windows, as `charrnn.preprocessing.batches` tells. A generator split off it seeds the dropout.
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
    dropout
        Share of the outputs of each layer with memory that is left out, see `charrnn.layers.Dropout`.
    weight_decay
        Before each step, all parameters but biases shrink by this times the learning rate (Loshchilov and Hutter 2019,
        algorithm 2: with Adam, that is AdamW).
    schedule, warmup_batches, final_learning_rate
        How the learning rate goes from that of the optimizer to the final one, see `charrnn.schedules`.
    patience
        Stop after so many epochs in a row without a lower validation loss; 0 never stops early.
    num_threads
        How many threads may work on a batch, each on a part of it (`charrnn.parts`). Another number gives results that
        differ by rounding.
    ranks
        Whoever trains the model together with this process. All are called with the same arguments, `num_threads` and
        callbacks aside, and a model and an `rng` in the same state; all return the same. Each works on its share of the
        sequences of every batch. Another number of ranks gives results that differ by rounding.
    resume
        Go on from here, with everything else as it was then; it becomes part of this training. The number of threads
        and of ranks may be another.
    stopped
        Asked in every batch. Where it is true on any rank, `on_stop` is called after the batch on all of them.
    on_batch
        Called after every batch with how far training has come and the loss of the batch.
    on_stop
        Called with how far training has come. What it raises ends training.
    on_epoch
        Called with how far training has come when the row of an epoch has been added to its history.

    Returns
    -------
    list of dict
        A row an epoch: `epoch`, `train_loss` (the mean over the epoch while the weights were changing),
        `validation_loss` (both nats per character; the validation text is read from `batch_size` places side by
        side), `validation_accuracy`, `learning_rate` (of its last batch), `gradient_norm` (the mean before clipping).
        `best_epoch` tells which row is that of the model.

    Raises
    ------
    InputError
        If a setting is out of its range, or a text too short.
    DivergenceError
        As soon as a loss or a gradient is not finite. The model is then as it was after the best epoch, if any.
    """
    stride = window_size if stride is None else stride
    counts = dict(
        num_epochs=num_epochs, batch_size=batch_size, window_size=window_size, stride=stride, num_threads=num_threads
    )
    value: Any  # each setting has its own type
    for name, value in counts.items():
        _require_integer(name, value, at_least=1)
    for name, value in dict(warmup_batches=warmup_batches, patience=patience).items():
        _require_integer(name, value, at_least=0)
    for name, value in dict(clip_norm=clip_norm, weight_decay=weight_decay).items():
        if not 0 <= value < inf:
            raise InputError(f"{name} is {value!r}; it must be a finite number of at least 0")
    if not 0 <= final_learning_rate <= optimizer.learning_rate:
        raise InputError(
            f"final_learning_rate is {final_learning_rate!r}; it must be at least 0 and at most the learning_rate, "
            f"{optimizer.learning_rate!r}"
        )
    if weight_decay * optimizer.learning_rate >= 1:
        raise InputError(
            f"weight_decay is {weight_decay!r}; times the learning_rate, {optimizer.learning_rate!r}, "
            "it must be below 1"
        )
    for name, value, allowed in (("targets", targets, TARGETS), ("schedule", schedule, tuple(SCHEDULES))):
        if value not in allowed:
            raise InputError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}")
    if stride > window_size and not carry_state:
        raise InputError(f"stride is {stride}; it must be at most window_size, {window_size}, or text would be skipped")
    if len(validation_ids) < 2:
        raise InputError(f"the validation text has {len(validation_ids)} characters; it must have at least 2")
    train_windows = windows(train_ids, window_size, window_size if carry_state else stride)
    if carry_state:
        num_batches = ceil(stream_length(len(train_ids), batch_size) / window_size)
    else:
        num_batches = ceil(len(train_windows) / batch_size)
    rate_at = partial(
        learning_rate,
        num_batches=num_epochs * num_batches,
        schedule=schedule,
        highest=optimizer.learning_rate,
        final=final_learning_rate,
        warmup_batches=warmup_batches,
    )
    decayed = model.decayed()
    masks = Masks(seed=int(rng.spawn(1)[0].integers(2**63)))
    trainee = as_trained(model, targets, dropout, masks)
    parts_of = cache(lambda T, B: batch_work(trainee, T, B, num_threads, ranks))
    figures, sum_together = np.zeros(2), JointSum(ranks)
    if resume:
        now, rng.bit_generator.state = resume, resume.shuffling
        model.parameters[...] = now.parameters
        now.parameters = model.parameters
    else:
        now = TrainingState(
            parameters=model.parameters,
            best=model.parameters.copy(),
            memory=optimizer.state(model.parameters),
            shuffling=rng.bit_generator.state,
            history=[],
            num_batches=num_batches,
        )

    try:
        while now.epoch <= num_epochs and not _out_of_patience(now.history, patience):
            if carry_state:
                pairs = streams(train_ids, batch_size, window_size, first=now.batch)
            else:
                pairs = batches(train_windows, batch_size, rng, first=now.batch)

            with threads(len(parts_of(window_size, batch_size))) as beside:
                for x, y in pairs:
                    parts = parts_of(*x.shape)
                    masks.step = step = (now.epoch - 1) * num_batches + now.batch + 1
                    figures[:] = loss_and_gradient(trainee, x, y, parts, now.state, beside), stopped()
                    state = final_state(trainee, parts, x.shape[1]) if carry_state else None
                    # One message a step. After it each rank knows the whole batch, and who was told to stop.
                    sum_together(trainee.gradient, figures, *_arrays(state))
                    loss, stop = figures.tolist()
                    norm = clip_by_global_norm(trainee.gradient, clip_norm or inf)
                    _require_finite(f"epoch {now.epoch}, batch {now.batch + 1}", loss, norm)
                    rate = rate_at(step)
                    if weight_decay:
                        decay_weights(model.parameters, decayed, rate * weight_decay)
                    if rate != optimizer.learning_rate:
                        optimizer = replace(optimizer, learning_rate=rate)
                    optimizer.update(model.parameters, trainee.gradient, now.memory)
                    now.add_batch(loss, norm, x.size, state)
                    if on_batch:
                        on_batch(now, loss)
                    if stop and on_stop:
                        on_stop(now)

            validation = evaluate(model, validation_ids, num_streams=batch_size, ranks=ranks)
            mean_norm = now.total_norm / num_batches
            _require_finite(f"epoch {now.epoch}", validation["loss"], mean_norm)
            if not np.isfinite(model.parameters).all():  # such as those of a character that validation lacks
                raise DivergenceError(
                    f"training diverged in epoch {now.epoch}: there are parameters that are not finite"
                )
            now.history.append(
                {
                    "epoch": now.epoch,
                    "train_loss": now.total_loss / now.positions,
                    "validation_loss": validation["loss"],
                    "validation_accuracy": validation["accuracy"],
                    "learning_rate": rate_at(now.epoch * num_batches),
                    "gradient_norm": mean_norm,
                }
            )
            if best_epoch(now.history) is now.history[-1]:
                now.best[...] = model.parameters
            now.begin_epoch(now.epoch + 1, rng.bit_generator.state)
            if on_epoch:
                on_epoch(now)
    finally:  # however training ended
        if now.history:
            model.parameters[...] = now.best
    return now.history


def best_epoch(history: History) -> dict[str, float]:
    """The row with the lowest validation loss, the first of them if there are several."""
    return min(history, key=lambda row: row["validation_loss"])


def _out_of_patience(history: History, patience: int) -> bool:
    return bool(patience and history) and len(history) - best_epoch(history)["epoch"] >= patience


def as_trained(model: "Model", targets: str, dropout: float, masks: Masks) -> "Model":
    """The model's own parameters, and a gradient of its own, behind a chain with what only training needs."""
    layers = list(model.layers)
    for first, second in pairwise(layers[:2]):
        if type(first) is Embedding and pays(first) and getattr(second, "accepts_rows", False):
            layers[0] = EmbeddingOfRows(**vars(first))
    if dropout:
        with_memory = [i for i, layer in enumerate(layers) if getattr(layer, "state_dims", None)]
        for i in reversed(with_memory):
            layers.insert(i + 1, Dropout(layers[i].output_dim, dropout, masks, number=i))
    if targets == "last":
        layers.insert(-1, LastStep(layers[-1].input_dim))
    return model.with_layers(layers)


def _arrays(state: State | None) -> list[Array]:
    return [h for of_layer in state or [] for h in of_layer.values()]


def _require_integer(name: str, value: object, at_least: int) -> None:
    if not isinstance(value, int | np.integer) or value < at_least:
        raise InputError(f"{name} is {value!r}; it must be an integer of at least {at_least}")


def _require_finite(when: str, loss: float, norm: float) -> None:
    if not (isfinite(loss) and isfinite(norm)):
        raise DivergenceError(
            f"training diverged in {when}: the loss is {loss} and the gradient's norm {norm}; "
            "try a lower learning_rate or a clip_norm between 0.1 and 5"
        )
