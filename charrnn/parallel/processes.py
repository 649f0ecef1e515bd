"""Worker processes on this machine: they sum in shared memory, and synchronize through pipes.

A worker is a Python process that runs `charrnn.parallel.worker_main` and reads its job from its standard input. It does
not import `__main__`, so a script, a notebook or an interactive session can start workers.

To sum arrays, each worker writes its own into its slot of the shared memory. When all workers have met at a barrier,
each adds up all slots, in the same order. Two sets of slots are used in turn, so that each sum needs only one barrier:
no worker can begin the sum after next before all have finished reading this one.

At the barrier, each worker sends a byte to rank 0, and rank 0 answers with one. If a process has died for any reason,
the process that waits for it reads the end of the pipe instead. So one death ends all processes.
"""

import mmap
import os
import pickle
import secrets
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from types import FunctionType
from typing import Any, BinaryIO, cast

import numpy as np

from charrnn.arrays import CACHE_LINE, Array
from charrnn.blas import one_blas_thread
from charrnn.errors import CharRNNError, InputError
from charrnn.parallel.workers import ALONE, Workers

Job = Callable[[Workers], object]

ARRIVED, FAILED = b".", b"!"
# For every BLAS that NumPy may use. Set before it starts, they also save the memory that more threads would reserve.
ONE_THREAD = dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "BLIS_NUM_THREADS"), "1"
)
# SIGTERM may reach all processes of a job at once: rank 0 decides what to do, and the others end when it does.
PROGRAM = (
    "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); sys.path[:] = sys.argv[1:]; "
    "from charrnn.parallel.worker_main import main; main()"
)
# So that Ctrl-C in a terminal reaches rank 0 only, which decides what to do.
GROUP_OF_ITS_OWN: dict[str, Any] = {"start_new_session": True}
if sys.platform == "win32":
    GROUP_OF_ITS_OWN = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
else:
    import fcntl
CHECKED = 4096  # numbers in a checksum
SECONDS_TO_DIE = 5  # from the end of a process's output to the end of the process


class WorkerError(CharRNNError):
    """A worker process died."""


class ProcessWorkers(Workers):
    """A group of processes on one machine that share memory."""

    def __init__(self, rank: int, size: int, memory: mmap.mmap) -> None:
        super().__init__(rank, size)
        self.slots = np.frombuffer(memory, np.uint8).reshape(2, size, -1)  # (set, worker, bytes)
        self.turn = 0

    def meet(self) -> None:
        """The barrier: return when all workers have called this."""
        raise NotImplementedError

    def all_reduce(self, *arrays: Array) -> None:
        dtype, ends = arrays[0].dtype, np.cumsum([array.size for array in arrays]).tolist()
        parts = [slice(start, end) for start, end in zip([0, *ends], ends)]
        slots = self.slots[self.turn, :, : ends[-1] * dtype.itemsize].view(dtype)
        self.turn = 1 - self.turn
        for array, part in zip(arrays, parts):
            np.copyto(slots[self.rank, part], array.reshape(-1))
        self.meet()
        for array, part in zip(arrays, parts):
            total = array.reshape(-1)
            np.add(slots[0, part], slots[1, part], out=total, casting="same_kind")
            for slot in slots[2:]:
                total += slot[part]


class FirstWorker(ProcessWorkers):
    """Rank 0: the process that started the others."""

    def __init__(self, memory: mmap.mmap, others: list[subprocess.Popen[bytes]]) -> None:
        super().__init__(0, 1 + len(others), memory)
        self.others = others

    def meet(self) -> None:
        for process in self.others:
            self._wait_for(process)
        for process in self.others:
            self._send(process, ARRIVED)

    def broadcast(self, value: Any) -> Any:
        for process in self.others:
            self._send(process, pickle.dumps(value))
        return value

    def _wait_for(self, process: subprocess.Popen[bytes]) -> None:
        output = cast(BinaryIO, process.stdout)
        signal = os.read(output.fileno(), 1)
        if signal == FAILED:
            raise pickle.load(output)
        if signal != ARRIVED:
            raise self._death(process)

    def _send(self, process: subprocess.Popen[bytes], message: bytes) -> None:
        try:
            write_all(process, message)
        except OSError:  # it no longer reads
            raise self._death(process) from None

    def _death(self, process: subprocess.Popen[bytes]) -> WorkerError:
        with suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS_TO_DIE)
        code = process.returncode
        cause = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return WorkerError(f"worker {self.others.index(process) + 1} died ({cause}), so all workers were stopped")


class OtherWorker(ProcessWorkers):
    """A rank above 0, which talks to rank 0 through its own standard input and output."""

    def __init__(self, rank: int, size: int, memory: mmap.mmap, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        super().__init__(rank, size, memory)
        self.incoming, self.outgoing = incoming, outgoing

    def meet(self) -> None:
        self.outgoing.write(ARRIVED)
        if self.incoming.read(1) != ARRIVED:
            raise WorkerError("the first worker has ended")

    def broadcast(self, value: Any) -> Any:
        return pickle.load(self.incoming)


@contextmanager
def start_workers(size: int, message_bytes: int, job: Job) -> Iterator[Workers]:
    """Run `job(workers)` in `size - 1` new processes, and yield this process's own place in the group, rank 0.

    The block must make the same collective calls as the job. Within it, BLAS uses one thread in every process,
    including this one, so results depend on the number of workers but not on the number of cores. When the block ends,
    with or without an error, the other processes end too.

    Parameters
    ----------
    message_bytes
        Size of the largest `all_reduce`.
    job
        Must be picklable, and may refer only to functions and classes that can be imported from a module.

    Raises
    ------
    InputError
        If the job refers to something defined in `__main__` or in a function, where other processes can't find it.
    WorkerError
        In the block, if one of the processes has died.
    """
    with one_blas_thread():
        if size == 1:
            yield ALONE
            return
        content = _pickled(job, size)
        num_bytes = 2 * size * -(-message_bytes // CACHE_LINE) * CACHE_LINE
        others: list[subprocess.Popen[bytes]] = []
        try:
            with _shared_memory(num_bytes) as (memory, handle):
                for _ in range(1, size):
                    others.append(_start(handle))  # noqa: PERF401 (if one can't be started, those before it must end)
                for rank, process in enumerate(others, start=1):
                    with suppress(OSError):  # it has died already; the first barrier reports it
                        write_all(process, pickle.dumps((rank, size, handle, num_bytes)))
                        write_all(process, content)
                del content
                yield FirstWorker(memory, others)
        finally:
            for process in others:
                with suppress(OSError):
                    cast(BinaryIO, process.stdin).close()  # at its next barrier it reads the end of the pipe, and ends
                cast(BinaryIO, process.stdout).close()
            for process in others:
                try:
                    process.wait(SECONDS_TO_DIE)
                except subprocess.TimeoutExpired:  # it is stopped, or in the middle of a long batch
                    process.kill()
                    process.wait()


def write_all(process: subprocess.Popen[bytes], message: bytes | memoryview) -> None:
    """Write to the standard input of a process; raises OSError if the process no longer reads."""
    pipe = cast(BinaryIO, process.stdin)
    pipe.write(message)
    pipe.flush()


def _start(handle: int | str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        # Only rank 0 shows warnings, in the way its program chooses.
        [sys.executable, "-W", "ignore", "-c", PROGRAM, *sys.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if sys.stderr else subprocess.DEVNULL,
        env={**os.environ, **ONE_THREAD},
        pass_fds=[handle] if isinstance(handle, int) else (),
        **GROUP_OF_ITS_OWN,
    )


@contextmanager
def _shared_memory(num_bytes: int) -> Iterator[tuple[mmap.mmap, int | str]]:
    """Memory that other processes open by its handle. It has no name in a file system, so nothing is left behind."""
    if sys.platform == "win32":
        name = f"charrnn-{secrets.token_hex(16)}"
        yield mmap.mmap(-1, num_bytes, tagname=name), name
        return
    with _nameless_file() as file:
        file.truncate(num_bytes)
        # The worker's standard streams take the descriptors 0 to 2, so the handle must not, even if they are free here.
        handle = fcntl.fcntl(file.fileno(), fcntl.F_DUPFD_CLOEXEC, 3)
        try:
            yield mmap.mmap(handle, num_bytes), handle
        finally:
            os.close(handle)


def _nameless_file() -> BinaryIO:
    """An unnamed file, if possible in memory. On Linux it is not in /dev/shm, which is too small in many containers."""
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):  # some builds of Python have no memfd_create, some kernels refuse it
            return open(os.memfd_create("charrnn"), "r+b")
    return cast(BinaryIO, tempfile.TemporaryFile())


def open_shared_memory(handle: int | str, num_bytes: int) -> mmap.mmap:
    """Open the memory that rank 0 made."""
    if isinstance(handle, str):
        return mmap.mmap(-1, num_bytes, tagname=handle)  # type: ignore[call-arg]
    return mmap.mmap(handle, num_bytes)


class _JobPickler(pickle.Pickler):
    """Pickles memory-mapped files by their names, and refuses anything that other processes can't import."""

    def __init__(self, file: BytesIO, size: int) -> None:
        super().__init__(file)
        self.size = size

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, type | FunctionType):
            in_function = "<" in value.__qualname__  # as in f.<locals>.g and <lambda>
            if in_function or value.__module__ == "__main__":
                place = "in a function or lambda" if in_function else "in __main__"
                raise InputError(
                    f"workers is {self.size}; {value.__qualname__} is defined {place}, where other processes can't "
                    "find it: define it in a module, or set workers to 1"
                )
        if isinstance(value, np.memmap) and value.mode == "r" and value.ndim == 1 and value.flags.c_contiguous:
            return _open_map, (value.filename, value.dtype, _offset(value), len(value), _checksum(value))
        return NotImplemented


def _offset(array: np.memmap) -> int:
    """The offset at which a mapped array, which may be a slice of another one, begins in its file."""
    whole: Any = array
    while isinstance(whole.base, np.memmap):
        whole = whole.base
    return whole.offset + array.__array_interface__["data"][0] - whole.__array_interface__["data"][0]


def _checksum(array: Array) -> int:
    """The checksum of numbers taken from the whole length of an array."""
    return zlib.crc32(array[:: max(1, len(array) // CHECKED)].tobytes())


def _open_map(path: str, dtype: np.dtype, offset: int, length: int, checksum: int) -> Array:
    """The mapped array that rank 0 has, unless its file has been replaced since rank 0 opened it."""
    with suppress(OSError, ValueError):  # ValueError: the file is shorter now
        array = np.memmap(path, dtype, "r", offset, (length,))
        if _checksum(array) == checksum:
            return array
    raise InputError(f"{path} has changed since it was opened; open it again")


def _pickled(job: Job, size: int) -> memoryview:
    file = BytesIO()
    _JobPickler(file, size).dump(job)
    return file.getbuffer()
