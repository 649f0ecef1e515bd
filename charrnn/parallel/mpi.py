"""Workers on several machines, started by an mpiexec and connected by MPI (`python -m pip install -e ".[mpi]"`).

A process that no mpiexec has started never imports mpi4py.
"""

import atexit
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from charrnn.arrays import Array
from charrnn.errors import InputError
from charrnn.parallel.workers import Workers

# Where mpiexec says how many processes it has started: that of MPICH, Intel and Microsoft, and that of Open MPI.
NUM_PROCESSES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")
GRACE = 3.0  # seconds in which rank 0 may report an error that others have as well
DELIVERY = 0.2  # seconds for a rank's last words to pass through mpiexec


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
    """This process among those that mpiexec has started, or None if it was started without.

    An error that leaves the block ends all of the processes; whichever has it reports it, if no other has done so.
    Nothing may fail before the block: the others would wait for a process that never gets here.

    Raises
    ------
    InputError
        If mpi4py is missing, or belongs to another MPI than mpiexec.
    """
    num_started = max(int(os.environ.get(name, 1)) for name in NUM_PROCESSES)
    if num_started == 1:
        yield None
        return
    world = _import_mpi(num_started).COMM_WORLD
    with _ending_together(world), threadpool_limits(1, user_api="blas"):
        if world.size != num_started:
            raise InputError(
                f"mpiexec has started {num_started} processes, but mpi4py sees {world.size}; it belongs to another MPI"
            )
        yield MPIWorkers(world)


def _import_mpi(num_started: int) -> Any:
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py has found no MPI library
        reason, install = str(error).partition("\n")[0], 'python -m pip install -e ".[mpi]"'
        raise InputError(
            f"mpiexec has started {num_started} processes; they need mpi4py: {reason}; {install}"
        ) from None
    return MPI


@contextmanager
def _ending_together(world: Any) -> Iterator[None]:
    """A process that ended alone would leave the others waiting for it forever."""
    try:
        yield
    except BaseException as error:
        if world.rank > 0:
            time.sleep(GRACE)
        code = 130 if isinstance(error, KeyboardInterrupt) else getattr(error, "code", 1)  # of argparse's SystemExit
        atexit.register(_abort, world, code)  # after the program has reported the error
        raise


def _abort(world: Any, code: int) -> None:
    sys.stdout.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # MPI has words of its own
    time.sleep(DELIVERY)
    world.Abort(code)
