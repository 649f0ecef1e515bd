"""Workers on several machines, started by mpiexec and connected by MPI (`python -m pip install -e ".[mpi]"`).

A process that mpiexec has not started never imports mpi4py.
"""

import atexit
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from charrnn.arrays import Array
from charrnn.blas import one_blas_thread
from charrnn.errors import InputError
from charrnn.parallel.workers import Workers

# Environment variables in which mpiexec gives the number of processes: MPICH, Intel and Microsoft; Open MPI.
NUM_PROCESSES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")
GRACE = 3.0  # seconds for rank 0 to report an error before other ranks report the same one
DELIVERY = 0.2  # seconds for a rank's last output to pass through mpiexec


class MPIWorkers(Workers):
    """The processes of an mpi4py communicator."""

    def __init__(self, communicator: Any) -> None:
        super().__init__(communicator.rank, communicator.size)
        self.communicator = communicator
        self.message = np.empty(0)

    def all_reduce(self, *arrays: Array) -> None:
        from mpi4py import MPI

        size, dtype = sum(array.size for array in arrays), arrays[0].dtype
        if (self.message.size, self.message.dtype) != (size, dtype):
            self.message = np.empty(size, dtype)
        np.concatenate([array.reshape(-1) for array in arrays], out=self.message, casting="same_kind")
        self.communicator.Allreduce(MPI.IN_PLACE, self.message)
        start = 0
        for array in arrays:
            array[...] = self.message[start : start + array.size].reshape(array.shape)
            start += array.size

    def broadcast(self, value: Any) -> Any:
        return self.communicator.bcast(value)


@contextmanager
def mpi_workers() -> Iterator[Workers | None]:
    """Yield this process's place among the processes that mpiexec has started, or None if it was started without.

    An error that leaves the block ends all of the processes. The process that has the error reports it, unless another
    one has already done so. Enter the block before anything can fail: the other processes would wait forever for one
    that never gets here.

    Raises
    ------
    InputError
        If mpi4py is missing, or uses another MPI than mpiexec.
    """
    num_started = max(_number(os.environ.get(name, "")) for name in NUM_PROCESSES)
    if num_started == 1:
        yield None
        return
    world = _import_mpi(num_started).COMM_WORLD
    with _ending_together(world), one_blas_thread():
        if world.size != num_started:
            raise InputError(
                f"mpiexec has started {num_started} processes, but mpi4py sees {world.size}; it uses another MPI"
            )
        yield MPIWorkers(world)


def _number(text: str) -> int:
    """The number of processes in an environment variable; 1 if it holds no number, for example if it is empty."""
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else 1


def _import_mpi(num_started: int) -> Any:
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py finds no MPI library
        reason, install = str(error).partition("\n")[0], 'python -m pip install -e ".[mpi]"'
        raise InputError(
            f"mpiexec has started {num_started} processes; they need mpi4py: {reason}; {install}"
        ) from None
    return MPI


@contextmanager
def _ending_together(world: Any) -> Iterator[None]:
    """End all processes on an error: if one ended alone, the others would wait for it forever."""
    try:
        yield
    except BaseException as error:
        if world.rank > 0:
            time.sleep(GRACE)
        code = 130 if isinstance(error, KeyboardInterrupt) else getattr(error, "code", 1)  # argparse raises SystemExit
        atexit.register(_abort, world, code)  # after the program has reported the error
        raise


def _abort(world: Any, code: int) -> None:
    sys.stdout.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # hide MPI's own message
    time.sleep(DELIVERY)
    world.Abort(code)
