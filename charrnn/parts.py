"""The loss and the gradient of one batch, which is cut into parts so that several threads can work on it.

A large batch is cut into sequences, some for each thread. A smaller one is cut into pieces of time, see
`charrnn.pieces`. Every part has a gradient of its own, and these are summed in the same order each time. If several
processes train together (`charrnn.ranks`), all this is done to the share that this one has of the batch.
"""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from charrnn.arrays import Array, Arrays, State
from charrnn.losses import SparseCategoricalCrossentropy
from charrnn.pieces import can_be_cut_in_time, gradients_piece_by_piece
from charrnn.ranks import ALONE, Ranks, shares
from charrnn.threads import Beside, at_once, make, start

if TYPE_CHECKING:  # models.py imports training.py, which imports this module
    from charrnn.models import Model, Workspace

# What makes a second thread pay; with less, threads wait for Python more than they work. See docs/performance.md.
MULTIPLY_ADDS_A_THREAD = 5 << 18  # of one recurrent product at one time step, for threads with sequences of their own
NUMBERS_A_THREAD = 10**5  # of a recurrent layer's output, for threads with pieces of time


@dataclass(frozen=True)
class Part:
    """Some of a batch's sequences or time steps, with all that a thread needs to work on them beside the others."""

    steps: slice
    columns: slice
    share: float  # of the batch
    model: "Model"  # on the parameters of the model that is trained, with a gradient of its own if it is not the first
    work: "Workspace"
    loss: Arrays


def batch_work(model: "Model", T: int, B: int, num_threads: int = 1, ranks: Ranks = ALONE) -> list[Part]:
    """The buffers of `loss_and_gradient` for batches (T, B), cut into as many parts as pay.

    They are for this rank's share of the sequences, and none if there is nothing for it.
    """
    own = ranks.share(B)
    num_columns = own.stop - own.start
    if num_columns == 0:
        return []
    width = max((layer.output_dim for layer in model.layers if getattr(layer, "state_dims", None)), default=0)
    by_columns = min(num_threads, num_columns, num_columns * width**2 // MULTIPLY_ADDS_A_THREAD)
    by_steps = min(num_threads, T, T * num_columns * width // NUMBERS_A_THREAD)
    if by_columns > 1:
        cuts = [(slice(0, T), columns) for columns in shares(own, by_columns)]
    elif by_steps > 1 and can_be_cut_in_time(model):
        cuts = [(steps, own) for steps in shares(slice(0, T), by_steps)]
    else:
        cuts = [(slice(0, T), own)]
    parts: list[Part] = []
    for steps, columns in cuts:
        size = steps.stop - steps.start, columns.stop - columns.start
        of_part = model if not parts else model.with_layers(model.layers)
        work = model.work(*size)
        for layer, of_layer in zip(model.layers, work.layers):
            if hasattr(layer, "place"):
                layer.place(of_layer, steps.start, columns.start, B)
        loss = SparseCategoricalCrossentropy().work(
            work.output_steps, size[1], model.layers[-1].output_dim, model.dtype
        )
        parts.append(Part(steps, columns, size[0] * size[1] / (T * B), of_part, work, loss))
    return parts


def loss_and_gradient(
    model: "Model",
    x: Array,
    y: Array,
    parts: list[Part],
    state: State | None = None,
    beside: Beside = at_once,
) -> float:
    """The mean loss of one batch in nats; its gradient goes to `model.gradient`.

    x and y are (T, B) ids, `parts` comes from `batch_work`, and `beside` from `charrnn.threads`. A model that keeps
    only the last time step is held against the last ids alone. With several ranks, loss and gradient are to be summed
    over them.
    """

    def of_columns(part: Part) -> None:
        cross_entropy = SparseCategoricalCrossentropy()
        before = state and [{name: h[part.columns] for name, h in of_layer.items()} for of_layer in state]
        logits = part.model.forward(x[:, part.columns], part.work, before)
        cross_entropy.forward(logits, y[-len(logits) :, part.columns], part.loss)
        part.model.backward(cross_entropy.backward(part.loss, part.share), part.work)

    if not parts:
        model.gradient[...] = 0
    elif parts[-1].steps.start > 0:  # pieces of time
        gradients_piece_by_piece(parts, x, y, state, beside)
    else:
        make(start([partial(of_columns, part) for part in parts], beside))
    for part in parts[1:]:
        model.gradient += part.model.gradient
    return sum(part.share * float(part.loss.losses.mean(dtype=np.float64)) for part in parts)


def final_state(model: "Model", parts: list[Part], B: int) -> State:
    """The state in which the batch of the last `loss_and_gradient` ended, (B, H) each; zeros in other ranks' rows."""
    state = [
        {name: np.zeros((B, dim), model.dtype) for name, dim in getattr(layer, "state_dims", {}).items()}
        for layer in model.layers
    ]
    for part in parts:  # of pieces of time, the last one's remains
        for of_layer, work in zip(state, part.work.layers):
            for name, h in of_layer.items():
                h[part.columns] = getattr(work, name)[-1]
    return state
