"""The loss and the gradient of one batch, which is cut into parts so that several threads can work on it.

A large batch is cut into sequences, some for each thread. A smaller one is cut into pieces of time, see
`charrnn.pipeline`. Every part has a gradient of its own, and these are summed in the same order each time.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from charrnn.arrays import Array, Arrays, State
from charrnn.losses import SparseCategoricalCrossentropy
from charrnn.pipeline import can_be_cut_in_time, gradients_piece_by_piece

if TYPE_CHECKING:  # models.py imports training.py, which imports this module
    from charrnn.models import Model, Workspace

# What makes a second thread pay; with less, threads wait for Python more than they work. See docs/performance.md.
MULTIPLY_ADDS_A_THREAD = 1 << 20  # of one recurrent product at one time step, for threads with sequences of their own
NUMBERS_A_STEP = 1 << 12  # in a recurrent layer's output at one time step, for pieces of time
LEAST_STEPS_A_PIECE = 20


@dataclass(frozen=True)
class Part:
    """Some of a batch's sequences or time steps, with all that a thread needs to work on them beside the others."""

    steps: slice
    columns: slice
    share: float  # of the batch
    model: "Model"  # on the parameters of the model that is trained, with a gradient of its own if it is not the first
    work: "Workspace"
    loss: Arrays


def batch_work(model: "Model", T: int, B: int, num_threads: int = 1) -> list[Part]:
    """The buffers of `loss_and_gradient` for batches (T, B), cut into as many parts as pay."""
    width = max((layer.output_dim for layer in model.layers if getattr(layer, "state_dims", None)), default=0)
    by_columns, by_steps = min(num_threads, B, B * width**2 // MULTIPLY_ADDS_A_THREAD), T // LEAST_STEPS_A_PIECE
    if by_columns > 1:
        cuts = [(slice(0, T), columns) for columns in _slices(B, by_columns)]
    elif by_steps > 1 and num_threads > 1 and B * width >= NUMBERS_A_STEP and can_be_cut_in_time(model):
        cuts = [(steps, slice(0, B)) for steps in _slices(T, by_steps)]
    else:
        cuts = [(slice(0, T), slice(0, B))]
    parts: list[Part] = []
    for steps, columns in cuts:
        size = steps.stop - steps.start, columns.stop - columns.start
        of_part = model if not parts else model.with_layers(model.layers)
        work = model.work(*size)
        loss = SparseCategoricalCrossentropy().work(
            work.output_steps, size[1], model.layers[-1].output_dim, model.dtype
        )
        parts.append(Part(steps, columns, size[0] * size[1] / (T * B), of_part, work, loss))
    return parts


def _slices(n: int, num_slices: int) -> list[slice]:
    bounds = [n * i // num_slices for i in range(num_slices + 1)]
    return [slice(*pair) for pair in pairwise(bounds)]


def _in_time(parts: list[Part]) -> bool:
    return parts[-1].steps.start > 0


def loss_and_gradient(
    model: "Model",
    x: Array,
    y: Array,
    parts: list[Part],
    state: State | None = None,
    pool: ThreadPoolExecutor | None = None,
) -> float:
    """The mean loss of one batch in nats; its gradient goes to `model.gradient`.

    x and y are (T, B) ids, `parts` comes from `batch_work`, and `pool` from `workers`. A model that keeps only the last
    time step is held against the last ids alone.
    """

    def of_columns(part: Part) -> None:
        cross_entropy = SparseCategoricalCrossentropy()
        before = state and [{name: h[part.columns] for name, h in of_layer.items()} for of_layer in state]
        logits = part.model.forward(x[:, part.columns], part.work, before)
        cross_entropy.forward(logits, y[-len(logits) :, part.columns], part.loss)
        part.model.backward(cross_entropy.backward(part.loss, part.share), part.work)

    if _in_time(parts):
        assert pool  # see `workers`
        gradients_piece_by_piece(parts, x, y, state, pool.submit)
    else:
        list((pool.map if pool else map)(of_columns, parts))
    for part in parts[1:]:
        model.gradient += part.model.gradient
    return sum(part.share * float(part.loss.losses.mean(dtype=np.float64)) for part in parts)


@contextmanager
def workers(parts: list[Part]) -> Iterator[ThreadPoolExecutor | None]:
    """The threads that `loss_and_gradient` needs beside the one that calls it, and one thread for the BLAS of each."""
    if len(parts) == 1:
        yield None
    else:
        with (
            threadpool_limits(1, user_api="blas"),
            ThreadPoolExecutor(1 if _in_time(parts) else len(parts)) as pool,
        ):
            yield pool


def final_state(parts: list[Part]) -> State:
    """The state in which the batch of the last `loss_and_gradient` ended."""
    if _in_time(parts):
        return parts[-1].model.final_state(parts[-1].work)
    of_parts = [part.model.final_state(part.work) for part in parts]
    return [
        {name: np.concatenate([of_part[i][name] for of_part in of_parts]) for name in of_layer}
        for i, of_layer in enumerate(of_parts[0])
    ]
