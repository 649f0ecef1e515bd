"""One batch by several threads, if it is too small to be cut into sequences: all but the recurrence is cut in time.

A recurrence has to wait for its own last step, and a step of a small batch is too little work for two threads: Python
lets only one at a time make its calls, so they would mostly wait for each other. But more than half of the
multiply-adds are in what a layer does for many time steps at once, in few and large calls. For these, time is cut into
pieces:

    each thread, its piece:     inputs
    one thread, piece by piece: unroll
    each thread, its piece:     local derivatives, outputs, loss
    one thread, piece by piece: unroll backwards, while the others make gradients of the pieces that are through
    whoever is free:            the gradients that are left

A piece is unrolled as soon as it is ready itself, whatever the others are at. Beside a thread that goes through time
there should be few and large calls, as each has it wait.
With several recurrent layers, one after the other is unrolled, and on the way back the last one first.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from charrnn.arrays import Array, State
from charrnn.layers import go_back
from charrnn.losses import SparseCategoricalCrossentropy
from charrnn.recurrent import Recurrent
from charrnn.threads import Beside, Call, Later, make, start

if TYPE_CHECKING:  # both import this module
    from charrnn.models import Model
    from charrnn.parts import Part


def can_be_cut_in_time(model: "Model") -> bool:
    """Whether every layer with memory is a `Recurrent` one, there is one, and no layer drops time steps."""
    with_memory = [layer for layer in model.layers if getattr(layer, "state_dims", None)]
    same_length = not any(hasattr(layer, "output_steps") for layer in model.layers)
    return bool(with_memory) and same_length and all(isinstance(layer, Recurrent) for layer in with_memory)


def gradients_piece_by_piece(pieces: Sequence["Part"], x: Array, y: Array, state: State | None, beside: Beside) -> None:
    """Leave in the workspaces of the pieces (`charrnn.parts.Part`) of a batch x, y (T, B) the loss, and in the models
    of the pieces their share of the gradient."""
    layers, columns, backwards = pieces[0].model.layers, pieces[0].columns, pieces[::-1]
    recurrent = [(i, layer) for i, layer in enumerate(layers) if isinstance(layer, Recurrent)]
    deferred: list[Call] = []

    def later(calls: list[Call]) -> None:
        deferred.extend([beside(call) for call in calls])  # in one go, as other threads do so too

    # `ready` waits for what a piece has to be through with before it is unrolled, in the order in which pieces are.
    ready = start(
        [partial(_forward, piece, 0, x[piece.steps, columns], y[piece.steps, columns], later) for piece in pieces],
        beside,
    )
    for i, layer in recurrent:
        before = state and {name: h[columns] for name, h in state[i].items()}
        for piece, projected in zip(pieces, ready):
            projected()
            work = piece.work.layers[i]
            for name in layer.state_dims:
                getattr(work, name)[0] = before[name] if before else 0
            work.output = layer.unroll(piece.model.p[i], work)
            before = {name: getattr(work, name)[-1] for name in layer.state_dims}
        in_order = backwards if i == recurrent[-1][0] else pieces
        ready = start(
            [partial(_after_unrolling, piece, i, layer, y[piece.steps, columns], later) for piece in in_order], beside
        )

    for i, layer in reversed(recurrent):
        after, next_ready = None, []
        for piece, gradient_of_output in zip(backwards, ready):
            dy = gradient_of_output()
            work = piece.work.layers[i]
            for name in layer.state_dims:
                getattr(work, "d" + name)[...] = getattr(after, "d" + name) if after else 0
            layer.unroll_backward(piece.model.p[i], dy, work)
            next_ready.append(beside(partial(_after_unrolling_backward, piece, i, layer, later)))
            later(layer.deferred_gradients(piece.model.grad[i], piece.work.inputs[i], dy, work))
            after = work
        ready = next_ready
    make(ready)
    make(deferred[::-1])  # wait for the last of them first, which the others are least likely to have begun with


def _forward(piece: "Part", first: int, x: Array, targets: Array, later: Later) -> Array | None:
    """Run the layers from `first` up to the next recurrent one, and bring its inputs to its gates. If there is none,
    compute the loss, go back to the last recurrent layer, and return the gradient of what that one has put out."""
    model, work = piece.model, piece.work
    for i, layer in list(enumerate(model.layers))[first:]:
        work.inputs[i] = x
        if isinstance(layer, Recurrent):
            layer.project(model.p[i], x, work.layers[i])
            return None
        x = layer.forward(model.p[i], x, work.layers[i])
    cross_entropy = SparseCategoricalCrossentropy()
    cross_entropy.forward(x, targets, piece.loss)
    return _backward(piece, len(model.layers) - 1, cross_entropy.backward(piece.loss, piece.share), later)


def _after_unrolling(piece: "Part", i: int, layer: Recurrent, targets: Array, later: Later) -> Array | None:
    """What follows upon unrolling `layer`, which is layer i."""
    work = piece.work.layers[i]
    layer.local_derivatives(piece.model.p[i], work)
    return _forward(piece, i + 1, work.output, targets, later)


def _after_unrolling_backward(piece: "Part", i: int, layer: Recurrent, later: Later) -> Array | None:
    """What layer i, which is `layer`, hands back, and what is to be done before the next one goes through time."""
    model, work = piece.model, piece.work
    dx = layer.project_backward(model.p[i], model.grad[i], work.inputs[i], work.layers[i])
    return _backward(piece, i - 1, dx, later)


def _backward(piece: "Part", i: int, dy: Any, later: Later) -> Array | None:
    """From layer i back to the next that goes through time, or to the beginning."""
    model, work = piece.model, piece.work
    while i >= 0 and not isinstance(model.layers[i], Recurrent):
        dy = go_back(model.layers[i], model.p[i], model.grad[i], work.inputs[i], dy, work.layers[i], later)
        i -= 1
    return dy
