"""The loss and the gradient of one batch, which is cut into parts if it is large, each for a thread of its own."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from charrnn.losses import SparseCategoricalCrossentropy

NUMBERS_A_THREAD = 4096  # of a layer's output at one time step; with fewer, threads wait for Python more than they work


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
