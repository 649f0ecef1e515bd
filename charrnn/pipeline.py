"""One batch by two threads, if it is too small to be cut in two: one goes through time, the other does all the rest.

A recurrence has to wait for its own last step, and a step of a small batch is too little work for two threads: Python
lets only one at a time make its calls, so they would mostly wait for each other. But most of the multiply-adds need not
wait. They are left to a second thread, piece of time by piece of time, in large products during which the first thread
has Python for itself:

    this thread:  inputs 1,  unroll 1, unroll 2, …, unroll n,  back n,  back n-1, …, back 1,  recurrent gradients 1
    the other:    inputs 2, … n,  outputs and loss 1, 2, … n,  gradients n, n-1, … 2, the others of 1

What is left at either end, when one of them would only wait for the other, this thread does itself. With several
recurrent layers, one after the other goes through all pieces.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from charrnn.arrays import Array, State
from charrnn.losses import SparseCategoricalCrossentropy
from charrnn.recurrent import Recurrent

if TYPE_CHECKING:  # both import this module
    from charrnn.models import Model
    from charrnn.parts import Part


def can_be_cut_in_time(model: "Model") -> bool:
    """Whether every layer with memory is a `Recurrent` one, there is one, and no layer drops time steps."""
    with_memory = [layer for layer in model.layers if getattr(layer, "state_dims", None)]
    same_length = not any(hasattr(layer, "output_steps") for layer in model.layers)
    return bool(with_memory) and same_length and all(isinstance(layer, Recurrent) for layer in with_memory)


def gradients_piece_by_piece(
    pieces: Sequence["Part"], x: Array, y: Array, state: State | None, submit: Callable[..., Future[Any]]
) -> None:
    """Leave in the workspaces of the pieces (`charrnn.parts.Part`) of a batch x, y (T, B) the loss, and in the models
    of the pieces their share of the gradient; `submit` is that of a pool, of which one thread is enough."""
    layers, columns = pieces[0].model.layers, pieces[0].columns
    x, y = x[:, columns], y[:, columns]
    recurrent = [(i, layer) for i, layer in enumerate(layers) if isinstance(layer, Recurrent)]
    first, last = recurrent[0][0], recurrent[-1][0]
    later = [submit(_forward, piece, 0, x[piece.steps], y[piece.steps]) for piece in pieces[1:]]
    waiting = [_done(_forward(pieces[0], 0, x[pieces[0].steps], y[pieces[0].steps])), *later]
    for i, layer in recurrent:
        before = state and {name: h[columns] for name, h in state[i].items()}
        for k, piece in enumerate(pieces):
            waiting[k].result()
            work = piece.work.layers[i]
            for name in layer.state_dims:
                getattr(work, name)[0] = before[name] if before else 0
            output = layer.unroll(piece.model.p[i], work)
            before = {name: getattr(work, name)[-1] for name in layer.state_dims}
            if i == last and piece is pieces[-1]:
                waiting[k] = submit(_forward, piece, i + 1, output, y[piece.steps])
                layer.local_derivatives(piece.model.p[i], work)
            else:
                waiting[k] = submit(_after, piece, i, layer, output, y[piece.steps])

    nobody_waits: list[Future[Any]] = []
    for i, layer in reversed(recurrent):
        after = None
        for k, piece in reversed(list(enumerate(pieces))):
            dy = waiting[k].result()
            work = piece.work.layers[i]
            for name in layer.state_dims:
                getattr(work, "d" + name)[...] = getattr(after, "d" + name) if after else 0
            layer.unroll_backward(piece.model.p[i], dy, work)
            after = work
            waiting[k] = submit(_project_backward, piece, i, layer)
            if i == first and piece is pieces[0]:
                layer.recurrent_gradients(piece.model.grad[i], work)
            else:
                nobody_waits.append(submit(layer.recurrent_gradients, piece.model.grad[i], work))
    for done in [*waiting, *nobody_waits]:
        done.result()


def _done(result: Array | None) -> Future[Any]:
    """As if another thread had done it."""
    future: Future[Any] = Future()
    future.set_result(result)
    return future


def _forward(piece: "Part", first: int, x: Array, targets: Array) -> Array | None:
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
    return _backward(piece, len(model.layers) - 1, cross_entropy.backward(piece.loss, piece.share))


def _after(piece: "Part", i: int, layer: Recurrent, output: Array, targets: Array) -> Array | None:
    """What follows upon unrolling `layer`, which is layer i."""
    layer.local_derivatives(piece.model.p[i], piece.work.layers[i])
    return _forward(piece, i + 1, output, targets)


def _project_backward(piece: "Part", i: int, layer: Recurrent) -> Array | None:
    """What follows upon unrolling it backwards, as far as the layers before it have to wait for it."""
    model, work = piece.model, piece.work
    return _backward(piece, i - 1, layer.project_backward(model.p[i], model.grad[i], work.inputs[i], work.layers[i]))


def _backward(piece: "Part", i: int, dy: Any) -> Array | None:
    """From layer i back to the next that goes through time, or to the beginning."""
    model, work = piece.model, piece.work
    while i >= 0 and not isinstance(model.layers[i], Recurrent):
        dy = model.layers[i].backward(model.p[i], model.grad[i], work.inputs[i], dy, work.layers[i])
        i -= 1
    return dy
