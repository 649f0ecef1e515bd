"""Worker processes on this machine: they sum in shared memory, and meet through pipes.

A worker is a Python process that runs `charrnn.parallel.worker_main`. It gets its job through its standard input, so
that the program that starts it may be a script, a notebook or an interactive session: nothing of `__main__` is imported.

Each worker writes its part of a sum into a slot of its own in the shared memory. When all have met, each adds up all
slots, in the same order. There are two sets of slots, used in turn, so that they need to meet only once for each sum:
no worker can begin the sum after next before all have finished reading this one.

To meet, each worker sends a byte to rank 0, and rank 0 answers with one. Whoever waits for a process that has ended
reads the end of a pipe instead, whatever ended it. So a dead process ends all others, and nothing has to be killed.
"""

import mmap
import os
import pickle
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from types import FunctionType
from typing import Any, BinaryIO, cast

import numpy as np
from threadpoolctl import threadpool_limits

from charrnn.arrays import CACHE_LINE, Array
from charrnn.errors import CharRNNError, InputError
from charrnn.parallel.workers import ALONE, Workers

Job = Callable[[Workers], object]

ARRIVED, FAILED = b".", b"!"
# For every BLAS that NumPy may use. Set from the start, they also spare the memory that more threads would reserve.
ONE_THREAD = dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "BLIS_NUM_THREADS"), "1"
)
PROGRAM = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from charrnn.parallel.worker_main import main; main()"
)
SECONDS_TO_DIE = 5  # between the end of a process's output and the end of the process


class WorkerError(CharRNNError):
    """A worker process died."""


class ProcessWorkers(Workers):
    """A group of processes on one machine that share memory."""

    def __init__(self, rank: int, size: int, memory: mmap.mmap) -> None:
        super().__init__(rank, size)
        self.slots = np.frombuffer(memory, np.uint8).reshape(2, size, -1)  # (set, worker, bytes)
        self.turn = 0

    def meet(self) -> None:
        """Return when all workers have called this."""
        raise NotImplementedError

    def all_reduce(self, *arrays: Array) -> None:
        dtype, ends = arrays[0].dtype, np.cumsum([array.size for array in arrays]).tolist()
        parts = [slice(start, end) for start, end in zip([0, *ends], ends)]
        slots = self.slots[self.turn, :, : ends[-1] * dtype.itemsize].view(dtype)
        self.turn = 1 - self.turn
        for array, part in zip(arrays, parts):
            slots[self.rank, part] = array.reshape(-1)
        self.meet()
        for array, part in zip(arrays, parts):
            total = array.reshape(-1)
            np.add(slots[0, part], slots[1, part], out=total, casting="same_kind")
            for slot in slots[2:]:
                total += slot[part]


class FirstWorker(ProcessWorkers):
    """Rank 0: the process that has started the others."""

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
            raise pickle.loads(output.read())
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

    def report(self, error: BaseException) -> None:
        """Make rank 0 raise this error."""
        with suppress(OSError):  # rank 0 has ended as well
            self.outgoing.write(FAILED + pickle.dumps(error))


@contextmanager
def start_workers(size: int, message_bytes: int, job: Job) -> Iterator[Workers]:
    """Run `job(workers)` in `size - 1` new processes, and yield this process's own place in the group, rank 0.

    The block makes the same collective calls as the job. While it lasts, BLAS has one thread in every process, this
    one too, so that results depend on the number of workers but not on the number of cores. When the block ends, with
    or without an error, the other processes end too.

    Parameters
    ----------
    message_bytes
        Size of the largest `all_reduce`.
    job
        Must be picklable, and refer only to what can be imported from modules.

    Raises
    ------
    InputError
        If the job refers to something in `__main__`, where other processes can't find it.
    WorkerError
        In the block, if one of the processes has died.
    """
    with threadpool_limits(1, user_api="blas"):
        if size == 1:
            yield ALONE
            return
        content = _pickled(job, size)
        num_bytes = 2 * size * -(-message_bytes // CACHE_LINE) * CACHE_LINE
        memory, handle = _shared_memory(num_bytes)
        others = [_start(handle) for _ in range(1, size)]
        try:
            for rank, process in enumerate(others, start=1):
                with suppress(OSError):  # it has died already, which the first meeting reports
                    write_all(process, pickle.dumps(sys.path) + pickle.dumps((rank, size, handle, num_bytes)) + content)
            yield FirstWorker(memory, others)
        finally:
            for process in others:
                with suppress(OSError):
                    cast(BinaryIO, process.stdin).close()  # where it next waits, it reads the end, and ends
                cast(BinaryIO, process.stdout).close()
            for process in others:
                process.wait()


def write_all(process: subprocess.Popen[bytes], message: bytes) -> None:
    """Write to the standard input of a process; raises OSError if it does not read any more."""
    pipe = cast(BinaryIO, process.stdin)
    pipe.write(message)
    pipe.flush()


def _start(handle: int | str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-c", PROGRAM],  # -P: a pickle.py in the current folder is not Python's own
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if sys.stderr else subprocess.DEVNULL,
        env={**os.environ, **ONE_THREAD},
        pass_fds=[handle] if isinstance(handle, int) else (),
        # Ctrl-C in a terminal is to reach rank 0 only, which decides what to do.
        start_new_session=True,
        creationflags=subprocess.CREATE_NEW_PROCESS_GROUP if sys.platform == "win32" else 0,
    )


def _shared_memory(num_bytes: int) -> tuple[mmap.mmap, int | str]:
    """Memory that other processes open by the handle. It has no name in a file system, so nothing is left behind."""
    if sys.platform == "win32":
        name = f"charrnn-{secrets.token_hex(16)}"
        return mmap.mmap(-1, num_bytes, tagname=name), name
    if sys.platform == "linux":  # not in /dev/shm, which is too small in many containers
        descriptor = os.memfd_create("charrnn")
    else:
        descriptor = os.dup(tempfile.TemporaryFile().fileno())
    os.ftruncate(descriptor, num_bytes)
    return mmap.mmap(descriptor, num_bytes), descriptor


def open_shared_memory(handle: int | str, num_bytes: int) -> mmap.mmap:
    """The memory that rank 0 has made."""
    if isinstance(handle, str):
        return mmap.mmap(-1, num_bytes, tagname=handle)  # type: ignore[call-arg]
    return mmap.mmap(handle, num_bytes)


class _JobPickler(pickle.Pickler):
    """Pickles files that are mapped into memory by their names, and refuses what other processes can't import."""

    def __init__(self, file: BytesIO, size: int) -> None:
        super().__init__(file)
        self.size = size

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, type | FunctionType) and value.__module__ == "__main__":
            raise InputError(
                f"workers is {self.size}; {value.__qualname__} is defined in __main__, where other processes can't find "
                "it: define it in a module, or set workers to 1"
            )
        # The base of an array that is only a part of the file is another array.
        if isinstance(value, np.memmap) and isinstance(value.base, mmap.mmap) and value.mode == "r":
            return np.memmap, (value.filename, value.dtype, value.mode, value.offset, value.shape)
        return NotImplemented


def _pickled(job: Job, size: int) -> bytes:
    file = BytesIO()
    _JobPickler(file, size).dump(job)
    return file.getvalue()
