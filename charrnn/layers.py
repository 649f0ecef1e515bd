"""The layers without memory: embedding, dense, dense with the embedding's table, dropout, last time step.

What every layer offers, and how to write your own, is described by `charrnn.models.Layer`.
"""

from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from charrnn.activations import ACTIVATIONS
from charrnn.arrays import Array, Arrays, DType, Shapes, Stepper
from charrnn.buffers import copy, empty
from charrnn.errors import InputError
from charrnn.initializers import Initializer, glorot_uniform, random_uniform, zeros
from charrnn.threads import Call, Later


def require_positive(layer: object, **dimensions: int) -> None:
    """Raise InputError unless each dimension of the layer is an integer of at least 1."""
    for name, value in dimensions.items():
        if not isinstance(value, int | np.integer) or value < 1:
            raise InputError(f"{type(layer).__name__}: {name} is {value!r}; it must be an integer of at least 1")


def require_activation(layer: object, name: str) -> None:
    """Raise InputError unless `name` is an activation."""
    if name not in ACTIVATIONS:
        allowed = ", ".join(ACTIVATIONS)
        raise InputError(f"{type(layer).__name__}: activation is {name!r}; it must be one of {allowed}")


def go_back(layer: Any, p: Arrays, grad: Arrays, x: Array, dy: Array, work: Arrays, later: Later) -> Any:
    """`layer.backward`, whose dx is returned; the calls for the gradients that it leaves go to `later`."""
    dx = layer.backward(p, grad, x, dy, work)
    if hasattr(layer, "deferred_gradients"):
        later(layer.deferred_gradients(grad, x, dy, work))
    return dx


def affine(x: Array, W: Array, b: Array, y: Array) -> Array:
    """y = x W + b, all time steps in one product."""
    np.matmul(x.reshape(-1, len(W)), W, out=y.reshape(-1, len(b)))
    y += b
    return y


def affine_backward(dy: Array, W: Array, dx: Array) -> Array:
    """dx = dy Wᵀ."""
    np.matmul(dy.reshape(-1, W.shape[1]), W.T, out=dx.reshape(-1, len(W)))
    return dx


def affine_gradients(x: Array, dy: Array, dW: Array, db: Array) -> None:
    """dW = Σ xᵀ dy, db = Σ dy."""
    rows = dy.reshape(-1, len(db))
    np.matmul(x.reshape(-1, len(dW)).T, rows, out=dW)
    np.sum(rows, axis=0, out=db)


def affine_stepper(x: Array, W: Array, b: Array, activation: str = "linear") -> Stepper:
    """The `stepper` of y = f(x W + b), see `charrnn.models.Layer`: [1, y] = [1, x] [[1, b], [0, W]], and f upon y."""
    matrix = copy(np.zeros((1 + len(W), 1 + len(b)), x.dtype))
    matrix[0, 0], matrix[0, 1:], matrix[1:, 1:] = 1, b, W
    # y lies in memory row by row, which suits the search for the largest logits.
    x_rows, y_rows = x.T, empty((x.shape[1], 1 + len(b)), x.dtype)
    y, activate = y_rows[:, 1:], None if activation == "linear" else ACTIVATIONS[activation].forward

    def step() -> None:
        x_rows.dot(matrix, y_rows)
        if activate:
            activate(y, out=y)

    return x, y_rows.T, step


@dataclass(frozen=True)
class Embedding:
    """y_t = table[x_t]: a learned vector of `output_dim` numbers for each of `input_dim` ids.

    x is (T, B) ids of any integer dtype, y is (T, B, output_dim). Ids have no gradient: `backward` returns None. If the
    table is `tied`, a `TiedDense` further on uses it too.
    """

    input_dim: int
    output_dim: int
    initializer: Initializer = random_uniform
    tied: bool = False

    def __post_init__(self) -> None:
        require_positive(self, input_dim=self.input_dim, output_dim=self.output_dim)

    def shapes(self) -> Shapes:
        return {"table": (self.input_dim, self.output_dim)}

    def init(self, p: Arrays, rng: np.random.Generator) -> None:
        p.table[...] = self.initializer(p.table.shape, rng)

    def work(self, T: int, B: int, dtype: DType) -> Arrays:
        return SimpleNamespace(
            ids=empty((T, B), np.intp),
            y=empty((T, B, self.output_dim), dtype),
            positions=np.arange(T * B).reshape(T, B),
            order=empty((T, B), np.intp),
            dy_in_order=empty((T * B, self.output_dim), dtype),
        )

    def forward(self, p: Arrays, x: Array, work: Arrays) -> Array:
        work.ids[...] = x
        # mode="clip" writes straight into `out`; ids were checked when the text was encoded.
        return np.take(p.table, work.ids, axis=0, out=work.y, mode="clip")

    def backward(self, p: Arrays, grad: Arrays, x: Array, dy: Array, work: Arrays) -> None:
        # d table[v] = Σ dy over the places where x = v. Sorting brings equal ids together, so that each sum is one
        # contiguous run: the cost does not grow with the vocabulary, as that of a one-hot product would. The numbers
        # id · T·B + position are sorted in place; the remainder by T·B then gives the positions back.
        order = work.order
        np.multiply(work.ids, order.size, out=order)
        order += work.positions
        order = order.reshape(-1)
        order.sort()
        run_starts = order.searchsorted(np.arange(self.input_dim + 1) * order.size)
        order %= order.size
        np.take(dy.reshape(order.size, -1), order, axis=0, out=work.dy_in_order, mode="clip")
        occurs = np.diff(run_starts) > 0
        if not self.tied:  # otherwise the other layer has left its gradient here, to which this is added
            grad.table[...] = 0
        grad.table[occurs] += np.add.reduceat(work.dy_in_order, run_starts[:-1][occurs], axis=0)


@dataclass(frozen=True)
class Dense:
    """y = f(x W + b) at every time step; x is (T, B, input_dim), y is (T, B, output_dim).

    `activation` is a name in `charrnn.activations.ACTIVATIONS`. The last layer of a model stays linear: its outputs
    are logits, and the softmax is part of the loss (`charrnn.losses`) and of `Model.predict`.
    """

    input_dim: int
    output_dim: int
    activation: str = "linear"
    initializer: Initializer = glorot_uniform
    bias_initializer: Initializer = zeros

    def __post_init__(self) -> None:
        require_positive(self, input_dim=self.input_dim, output_dim=self.output_dim)
        require_activation(self, self.activation)

    def shapes(self) -> Shapes:
        return {"kernel": (self.input_dim, self.output_dim), "bias": (self.output_dim,)}

    def init(self, p: Arrays, rng: np.random.Generator) -> None:
        p.kernel[...] = self.initializer(p.kernel.shape, rng)
        p.bias[...] = self.bias_initializer(p.bias.shape, rng)

    def work(self, T: int, B: int, dtype: DType) -> Arrays:
        outputs = (T, B, self.output_dim)
        work = SimpleNamespace(y=empty(outputs, dtype), dx=empty((T, B, self.input_dim), dtype))
        if self.activation != "linear":
            work.da = empty(outputs, dtype)
        return work

    def forward(self, p: Arrays, x: Array, work: Arrays) -> Array:
        affine(x, p.kernel, p.bias, work.y)
        if self.activation != "linear":
            ACTIVATIONS[self.activation].forward(work.y, out=work.y)
        return work.y

    def stepper(self, p: Arrays, x: Array, state: dict[str, Array]) -> Stepper:
        return affine_stepper(x, p.kernel, p.bias, self.activation)

    def backward(self, p: Arrays, grad: Arrays, x: Array, dy: Array, work: Arrays) -> Array:
        if self.activation != "linear":
            ACTIVATIONS[self.activation].backward(work.y, dy, out=work.da)
        return affine_backward(self._da(dy, work), p.kernel, work.dx)

    def deferred_gradients(self, grad: Arrays, x: Array, dy: Array, work: Arrays) -> list[Call]:
        return [partial(affine_gradients, x, self._da(dy, work), grad.kernel, grad.bias)]

    def _da(self, dy: Array, work: Arrays) -> Array:
        """The gradient of a = x W + b."""
        return dy if self.activation == "linear" else work.da


@dataclass(frozen=True)
class TiedDense:
    """y = x tableᵀ + b: logits from the table of the embedding that the model begins with (Press and Wolf 2017).

    x is (T, B, input_dim), y is (T, B, output_dim). The embedding is `Embedding(output_dim, input_dim, tied=True)`.
    """

    input_dim: int
    output_dim: int
    bias_initializer: Initializer = zeros

    def __post_init__(self) -> None:
        require_positive(self, input_dim=self.input_dim, output_dim=self.output_dim)

    @property
    def shared(self) -> Shapes:
        return {"table": (self.output_dim, self.input_dim)}

    def shapes(self) -> Shapes:
        return {"bias": (self.output_dim,)}

    def init(self, p: Arrays, rng: np.random.Generator) -> None:
        p.bias[...] = self.bias_initializer(p.bias.shape, rng)

    def work(self, T: int, B: int, dtype: DType) -> Arrays:
        return SimpleNamespace(y=empty((T, B, self.output_dim), dtype), dx=empty((T, B, self.input_dim), dtype))

    def forward(self, p: Arrays, x: Array, work: Arrays) -> Array:
        return affine(x, p.table.T, p.bias, work.y)

    def stepper(self, p: Arrays, x: Array, state: dict[str, Array]) -> Stepper:
        return affine_stepper(x, p.table.T, p.bias)

    def backward(self, p: Arrays, grad: Arrays, x: Array, dy: Array, work: Arrays) -> Array:
        affine_gradients(x, dy, grad.table.T, grad.bias)  # not deferred, as the embedding adds to that of the table
        return affine_backward(dy, p.table.T, work.dx)


class Masks:
    """Where dropout layers have their random numbers from: each layer, at each step, a sequence of its own.

    It follows from the seed, the number of the step, which who trains has to set, and that of the layer. So training
    can be taken up at any step.
    """

    def __init__(self, seed: int) -> None:
        self.seed, self.step = seed, 0

    def bits(self, number: int) -> np.random.PCG64:
        """The sequence of dropout layer `number` in this step, from its beginning."""
        return np.random.PCG64((self.seed, self.step, number))


@dataclass(frozen=True)
class Dropout:
    """y = x ∘ m / (1 - rate), each m being 0 with probability `rate`, otherwise 1 (Srivastava et al. 2014, section 10).

    Only the chain that is trained has this layer: what is evaluated, sampled from and stored is the model without it.
    A mask depends on its place in the batch, not on how the batch is cut: with N sequences in it, sequence b at time
    step t has the draws from (t N + b) d on, where d draws of 64 bits make the `dim` numbers of one sequence.
    x, y: (T, B, dim).
    """

    dim: int
    rate: float
    masks: Masks
    number: int = 0  # another one in each layer of a chain

    def __post_init__(self) -> None:
        require_positive(self, dim=self.dim)
        if not 0 <= self.rate < 1:
            raise InputError(f"dropout is {self.rate!r}; it must be at least 0 and below 1")

    @property
    def input_dim(self) -> int:
        return self.dim

    @property
    def output_dim(self) -> int:
        return self.dim

    def shapes(self) -> Shapes:
        return {}

    def init(self, p: Arrays, rng: np.random.Generator) -> None:
        pass

    def work(self, T: int, B: int, dtype: DType) -> Arrays:
        y, dx = (empty((T, B, self.dim), dtype) for _ in range(2))
        draws = -(-self.dim * y.itemsize // 8)  # two float32 a draw; the second half of the last one may be left over
        drawn = empty((T, B, draws * 8 // y.itemsize), dtype)
        work = SimpleNamespace(y=y, dx=dx, draws=draws, drawn=drawn, mask=drawn[..., : self.dim])
        self.place(work, 0, 0, B)
        return work

    def place(self, work: Arrays, first_step: int, first_column: int, num_columns: int) -> None:
        T, B = work.y.shape[:2]
        # What follows upon each other in the sequence is drawn at once, as far as it does so in the part as well.
        runs = work.drawn.reshape(1, -1) if B == num_columns else work.drawn.reshape(T, -1)
        first = (first_step * num_columns + first_column) * work.draws
        work.runs, work.first, work.gap = runs, first, (num_columns - B) * work.draws

    def forward(self, p: Arrays, x: Array, work: Arrays) -> Array:
        bits = self.masks.bits(self.number)
        generator = np.random.Generator(bits)
        bits.advance(work.first)
        for run in work.runs:
            generator.random(out=run, dtype=run.dtype)
            bits.advance(work.gap)
        mask = work.mask
        np.greater_equal(mask, self.rate, out=mask)
        mask *= 1 / (1 - self.rate)
        return np.multiply(x, mask, out=work.y)

    def backward(self, p: Arrays, grad: Arrays, x: Array, dy: Array, work: Arrays) -> Array:
        return np.multiply(dy, work.mask, out=work.dx)


@dataclass(frozen=True)
class LastStep:
    """y = x_T: only the last time step goes on, so x is (T, B, dim) and y is (1, B, dim)."""

    dim: int

    @property
    def input_dim(self) -> int:
        return self.dim

    @property
    def output_dim(self) -> int:
        return self.dim

    def output_steps(self, T: int) -> int:
        return 1

    def shapes(self) -> Shapes:
        return {}

    def init(self, p: Arrays, rng: np.random.Generator) -> None:
        pass

    def work(self, T: int, B: int, dtype: DType) -> Arrays:
        return SimpleNamespace(dx=np.zeros((T, B, self.dim), dtype))

    def forward(self, p: Arrays, x: Array, work: Arrays) -> Array:
        return x[-1:]

    def backward(self, p: Arrays, grad: Arrays, x: Array, dy: Array, work: Arrays) -> Array:
        work.dx[-1] = dy[0]
        return work.dx
