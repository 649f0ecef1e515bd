"""charrnn's training step, as the benchmarks run it: on a batch in memory, with one or several worker processes.

It has its own module because workers import the code that they run, and a module that runs as a program can't be
imported.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import numpy as np

from benchmarks.rivals import Arrays, Contender
from charrnn.config import TrainingConfig
from charrnn.initializers import random_uniform
from charrnn.layers import CELLS, Dense, DropoutMasks, Embedding, Layer
from charrnn.models import Model
from charrnn.network import Network
from charrnn.optimizers import Nadam
from charrnn.parallel.processes import start_workers
from charrnn.parallel.workers import ALONE, Workers
from charrnn.training.network import training_network
from charrnn.training.shard import Shard

V, E = 65, 16  # characters in the vocabulary, width of their embedding
NUM_WORKERS = TrainingConfig().workers


class Shape(NamedTuple):
    """Width of the hidden state, sequences in a batch, time steps, recurrent layers."""

    H: int
    B: int
    T: int
    num_layers: int = 1

    def __str__(self) -> str:
        layers = f"{self.num_layers} × " if self.num_layers > 1 else ""
        return f"{layers}{self.H}, {self.B}, {self.T}"

    def predictions(self, targets: str) -> int:
        """The number of characters that a step predicts."""
        return self.B * self.T if targets == "every" else self.B

    def multiply_adds(self, cell: str, targets: str) -> int:
        """The multiply-adds of a step's matrix products; the backward pass has twice as many as the forward pass.

        This holds for recurrent layers whose inputs are vectors, as in all rivals. charrnn looks up products in its
        first layer instead (`charrnn.layers.projection`), but is measured against the same number.
        """
        input_widths = E + (self.num_layers - 1) * self.H
        gates = {"gru": 3, "lstm": 4}[cell]
        recurrent = self.B * self.T * gates * (input_widths + self.num_layers * self.H) * self.H
        dense = self.predictions(targets) * self.H * V
        return 3 * (recurrent + dense)


# The first is the default run's; the last has two layers.
SHAPES = [
    Shape(128, 32, 100),
    Shape(256, 64, 100),
    Shape(512, 64, 100),
    Shape(128, 128, 100),
    Shape(128, 8, 100),
    Shape(384, 32, 64, num_layers=2),
]


def random_batch(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Ids (T, B) to read and to predict."""
    ids = np.random.default_rng(1).integers(0, V, (shape.T + 1, shape.B), np.uint8)
    return ids[:-1], ids[1:]


class TrainingStep:
    """The steps of `charrnn.training.train`, always on the same batch and without clipping.

    Parameters
    ----------
    parameters
        (P,); the steps change a copy.
    x, y
        (T, B) ids to read and to predict.
    workers
        The group that takes the steps together.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        parameters: np.ndarray,
        targets: str,
        x: np.ndarray,
        y: np.ndarray,
        workers: Workers = ALONE,
    ) -> None:
        config, masks = TrainingConfig(window_size=len(x), stride=1, targets=targets), DropoutMasks(seed=0)
        self.network = training_network(Network(layers, parameters.copy()), config, masks)
        self.shard = Shard(self.network, workers)
        self.optimizer = Nadam(learning_rate=0.001)
        self.optimizer_state = self.optimizer.state(parameters)
        self.x, self.y, self.workers = x, y, workers

    def differentiate(self) -> float:
        """Leave the gradient of the whole batch in `network.gradient`, and return the loss."""
        loss, _ = self.shard.loss_and_gradient(self.x, self.y)
        figures = np.array([loss, False])  # training also sums a stop flag
        self.workers.all_reduce(self.network.gradient, figures)
        return float(figures[0])

    def take(self) -> float:
        """Update the parameters, and return the loss before the update."""
        loss = self.differentiate()
        self.optimizer.update(self.network.parameters, self.network.gradient, self.optimizer_state)
        return loss


class Charrnn(Contender):
    """charrnn with one of its GRUs or with its LSTM, trained by `num_workers` processes.

    Every turn starts new processes and begins again from the initial parameters.
    """

    def __init__(
        self,
        shape: Shape,
        x: np.ndarray,
        y: np.ndarray,
        *,
        cell: str = "gru",
        reset_after: bool = False,
        targets: str = "every",
        num_workers: int = NUM_WORKERS,
    ) -> None:
        H, random_bias = shape.H, random_uniform  # biases of zero would hide a mix-up
        options = {"reset_after": reset_after} if cell == "gru" else {}
        widths = [E] + [H] * (shape.num_layers - 1)
        layers = [
            Embedding(V, E),
            *(CELLS[cell](width, H, bias_initializer=random_bias, **options) for width in widths),
            Dense(H, V, bias_initializer=random_bias),
        ]
        self.model = Model(layers, np.random.default_rng(0))
        self.cell, self.reset_after, self.targets, self.num_workers = cell, reset_after, targets, num_workers
        self.arguments = (self.model.layers, self.model.parameters, targets, x, y)

    @property
    def message_bytes(self) -> int:
        """The size of the message that the workers sum in each step."""
        return 4 * (len(self.model.parameters) + 2)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Start the processes that take the steps."""
        with start_workers(self.num_workers, self.message_bytes, partial(follow, *self.arguments)) as workers:
            self.training_step = TrainingStep(*self.arguments, workers)
            yield

    def weights(self) -> Arrays:
        """The initial parameters, named as in `benchmarks.rivals`."""
        return by_name(self.model)

    def loss_and_gradients(self) -> tuple[float, Arrays]:
        with self.turn():
            loss = self.training_step.differentiate()
        return loss, by_name(Network(self.model.layers, self.training_step.network.gradient))

    def step(self) -> float:
        """One step, within a turn."""
        return self.training_step.take()


def by_name(network: Network) -> Arrays:
    """The parameters of a network, named as in `benchmarks.rivals`."""
    arrays = {}
    for name, view in network.named_parameters():
        position, layer, parameter = name.split(".")
        arrays[f"{layer}{position if layer in CELLS else ''}.{parameter}"] = view
    return arrays


def follow(*arguments: object) -> None:
    """The job of all workers but the first: take steps until the first worker ends the group."""
    step = TrainingStep(*arguments)
    while True:
        step.take()


class TimedWorkers(Workers):
    """A group that records how many seconds each of its sums takes."""

    def __init__(self, workers: Workers) -> None:
        super().__init__(workers.rank, workers.size)
        self.workers = workers
        self.seconds: list[float] = []

    def all_reduce(self, *arrays: np.ndarray) -> None:
        self.seconds.append(seconds_of(partial(self.workers.all_reduce, *arrays)))


def measure_steps(contender_arguments: tuple[object, ...], warm_up: int, calls: int, workers: Workers) -> np.ndarray:
    """Take steps as one worker of a group, and return the times measured on each of its workers.

    Returns
    -------
    array
        (3, size, calls) seconds, for steps, for the sums in them, and for sums that all workers begin together.
    """
    timed = TimedWorkers(workers)
    step = TrainingStep(*contender_arguments, timed)
    for _ in range(warm_up):
        step.take()
    timed.seconds.clear()
    steps = [seconds_of(step.take) for _ in range(calls)]
    message, sums = (np.zeros_like(step.network.gradient), np.zeros(2)), []
    for _ in range(calls):
        workers.all_reduce(np.zeros(1))  # so that they begin together
        sums.append(seconds_of(partial(workers.all_reduce, *message)))
    seconds = np.zeros((3, workers.size, calls))
    seconds[:, workers.rank] = steps, timed.seconds, sums
    workers.all_reduce(seconds)
    return seconds


def seconds_of(call: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
