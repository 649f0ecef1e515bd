"""What worker processes do in tests: jobs, and a layer, that they can import without importing pytest."""

import os
import sys
from dataclasses import dataclass

import numpy as np

from charrnn.layers import Dense
from charrnn.network import Network
from charrnn.training import train

GUARD = 120  # seconds after which a test that should have ended long ago is taken to hang
SHAPES = ((7,), (2, 3), (), (0,), (1, 1, 4), (4096,))
MOST_BYTES = 8 * sum(int(np.prod(shape)) for shape in SHAPES)


def contribution(rank, number):
    """The arrays that a worker brings to the sum of this number: integers, so that every sum is exact."""
    rng = np.random.default_rng((rank, number))
    first = (np.float32, np.float64)[number % 2]
    dtypes = (first, np.float64, np.float32, np.float16)
    shapes = np.random.default_rng(number).permutation(len(SHAPES))[: 1 + number % len(SHAPES)]
    return [rng.integers(-200, 200, SHAPES[shape]).astype(dtypes[i % len(dtypes)]) for i, shape in enumerate(shapes)]


def check_sums(count, workers):
    """Compare so many sums, one directly after the other, with what they must be."""
    for number in range(count):
        arrays = [np.array(array) for array in contribution(workers.rank, number)]
        workers.all_reduce(*arrays)
        expected = [sum(brought) for brought in zip(*(contribution(rank, number) for rank in range(workers.size)))]
        for array, total in zip(arrays, expected, strict=True):
            np.testing.assert_array_equal(array, total, err_msg=f"sum {number} of worker {workers.rank}")


def check_broadcasts(workers):
    """Broadcast values of many kinds from rank 0 and compare them, with sums in between."""
    values = [None, 7, "é" * 10, list(range(1000)), np.arange(300_000), {"a": np.float32(1.5)}]
    for value in values * 3:
        received = workers.broadcast(value if workers.rank == 0 else "ignored")
        np.testing.assert_equal(received, value)
        total = np.ones(3)
        workers.all_reduce(total)
        np.testing.assert_array_equal(total, workers.size)


def gather(workers, array):
    """(size, …): the array of each worker."""
    rows = np.zeros((workers.size, *array.shape), array.dtype)
    rows[workers.rank] = array
    workers.all_reduce(rows)
    return rows


def sum_of_fractions(workers):
    """The sum of random numbers as each worker has it."""
    array = np.random.default_rng(workers.rank).normal(size=1000).astype(np.float32)
    workers.all_reduce(array)
    return gather(workers, array)


def noisy(workers):
    """Print in every way, between two sums."""
    for _ in range(3):
        workers.all_reduce(np.ones(2))
        sys.stdout.write(f"printed by worker {workers.rank}\n")  # in one piece, as other workers print too
        sys.stdout.flush()
        os.write(1, b"written to file descriptor 1\n")


def trained_parameters(layers, parameters, ids, config, workers):
    """Train, and return the parameters (size, P) of all workers."""
    network = Network(layers, parameters.copy())
    train(network, ids, ids, config, rng=np.random.default_rng(0), workers=workers)
    return gather(workers, network.parameters)


def fail(errors, workers):
    """Meet once, then raise the error for this rank, if there is one; the others wait for the next meeting."""
    workers.all_reduce(np.ones(1))
    if workers.rank in errors:
        raise errors[workers.rank]
    workers.all_reduce(np.ones(1))


def leave(code, workers):
    """Rank 1 ends without a word."""
    if workers.rank == 1:
        os._exit(code)
    workers.all_reduce(np.ones(1))


@dataclass(frozen=True)
class FailsElsewhere(Dense):
    """A dense layer that fails in every process but one."""

    pid: int = 0
    message: str = ""

    def forward(self, p, x, buffers):
        if os.getpid() != self.pid:
            raise MemoryError(self.message)
        return super().forward(p, x, buffers)


class Unpicklable(Exception):
    """An error that can't be sent to another process."""

    def __reduce__(self):
        raise TypeError("not to be pickled")


def fail_unpicklably(workers):
    """Rank 1 fails with an error that it can't report."""
    if workers.rank == 1:
        raise Unpicklable
    workers.all_reduce(np.ones(1))
