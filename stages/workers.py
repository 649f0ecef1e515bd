"""Several processes for one training, under MPI: how they are started, find each other, and end together.

With `workers` above 1, the stage starts itself again under mpiexec. Whoever starts it under an mpiexec of their own, on
several machines, gets there as well. With 1, nothing of MPI is imported.
"""

import atexit
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_limits

from charrnn.errors import CharRNNError, InputError
from charrnn.ranks import ALONE, Ranks, ranks_of

if TYPE_CHECKING:
    from mpi4py.MPI import Intracomm

# By which mpiexec tells a process how many there are: that of MPICH, Intel and Microsoft, and that of Open MPI.
NUMBER_OF_PROCESSES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")
GRACE = 3.0  # seconds in which rank 0 may tell an error that others have as well
DELIVERY = 0.2  # seconds for the last words of a rank to pass through mpiexec
TOLD_BY_WORKERS = (1, 130)  # the exit codes of a stage that has said why


@dataclass(frozen=True)
class Workers:
    """What one of the processes needs to know of them all.

    Attributes
    ----------
    num_threads
        How many threads it may use, for its share of the cores of its machine.
    of_first
        Returns to every rank the value that rank 0 calls it with, once rank 0 has done so.
    """

    ranks: Ranks
    num_threads: int
    of_first: Callable[[Any], Any] = lambda value: value


def are_to_be_started(num_workers: int) -> bool:
    """Whether there ought to be several processes, and mpiexec has not been at work yet."""
    return num_workers > 1 and not any(name in os.environ for name in NUMBER_OF_PROCESSES)


def start(num_workers: int) -> None:
    """Run the same command under mpiexec. Ctrl-C and SIGTERM reach all workers, and end with this process.

    Raises
    ------
    InputError
        If there is no MPI.
    CharRNNError
        If a worker died.
    SystemExit
        With the exit code of workers that have told themselves what is wrong.
    """
    _import_mpi(num_workers, initialize=False)
    mpiexec = find_mpiexec()
    if mpiexec is None:
        raise InputError(_needs_mpi(num_workers, "mpiexec is not to be found"))
    process: subprocess.Popen[bytes] | None = None
    told_to_stop = False

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal told_to_stop
        told_to_stop = True
        if process:
            process.terminate()  # which mpiexec passes on to all workers, as it does SIGINT, but without words

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    # In a session of its own, Ctrl-C in a terminal does not reach mpiexec beside this process, and so twice.
    process = subprocess.Popen(
        [mpiexec, "-n", str(num_workers), sys.executable, "-m", "stages.train", *sys.argv[1:]],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_die_with_parent() if sys.platform == "linux" else None,
    )
    if told_to_stop:
        process.terminate()
    code = process.wait()
    if code in TOLD_BY_WORKERS:
        sys.exit(code)
    if code and told_to_stop:
        raise KeyboardInterrupt
    if code:
        raise CharRNNError(
            f"a worker died, so the others were stopped (mpiexec ended with {code}); what was done until the last "
            "checkpoint is kept, and the same command goes on from there"
        )


def find_mpiexec() -> str | None:
    """Where mpiexec is: beside this Python, where a package has put it, or on the PATH."""
    return shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


def _die_with_parent() -> Callable[[], None]:
    """What a child has to call so that Linux kills it when this process is killed, and with it all that it started."""
    libc, PR_SET_PDEATHSIG = ctypes.CDLL(None), 1
    return lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@contextmanager
def joined() -> Iterator[Workers]:
    """This process among those that mpiexec has started, or alone. Whoever leaves the block with an error ends all of
    them, and tells it if no other has done so. So nothing may fail before the block: who never gets here is waited for.

    Raises
    ------
    InputError
        If there is no MPI, or another one than that of mpiexec.
    """
    num_started = max(int(os.environ.get(name, 1)) for name in NUMBER_OF_PROCESSES)
    cores = available_cores()
    if num_started == 1:
        yield Workers(ALONE, len(cores))
        return
    MPI = _import_mpi(num_started)
    world = MPI.COMM_WORLD
    with _ending_together(world):
        if world.size != num_started:
            raise InputError(
                f"mpiexec has started {num_started} processes; mpi4py knows of {world.size}, it belongs to another MPI"
            )
        # Some mpiexec give each process cores of its own, others leave all to all.
        on_this_machine = world.Split_type(MPI.COMM_TYPE_SHARED).allgather(cores)
        num_threads = max(1, len(cores) // sum(bool(cores & of_other) for of_other in on_this_machine))
        with threadpool_limits(num_threads, user_api="blas"):
            yield Workers(ranks_of(world), num_threads, world.bcast)


def available_cores() -> set[int]:
    """The cores that this process may use."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _import_mpi(num_workers: int, initialize: bool = True) -> Any:
    """The module `mpi4py.MPI`; importing it makes this process one of those that mpiexec has started, or not.

    Raises
    ------
    InputError
        If there is none.
    """
    try:
        import mpi4py

        mpi4py.rc(initialize=initialize)
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # the second, if there is no library of MPI for it
        raise InputError(_needs_mpi(num_workers, str(error).partition("\n")[0])) from None
    return MPI


def _needs_mpi(num_workers: int, problem: str) -> str:
    return f'workers is {num_workers}, which needs MPI: {problem}; python -m pip install -e ".[mpi]"'


@contextmanager
def _ending_together(world: "Intracomm") -> Iterator[None]:
    """A process that ended alone would leave the others waiting for it forever."""
    try:
        yield
    except BaseException as error:
        if world.rank > 0:
            time.sleep(GRACE)
        code = 130 if isinstance(error, KeyboardInterrupt) else getattr(error, "code", 1)  # of argparse's SystemExit
        atexit.register(_abort, world, code)  # when `stages.cli` has told the error
        raise


def _abort(world: "Intracomm", code: int) -> None:
    sys.stdout.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # MPI has words of its own
    time.sleep(DELIVERY)
    world.Abort(code)
