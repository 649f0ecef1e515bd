"""The program that a worker process runs: it gets a job from rank 0, runs it with the other workers, and ends."""

import os
import pickle
import sys
import threading
import time
import traceback
from contextlib import suppress

from charrnn.parallel.processes import FAILED, OtherWorker, WorkerError, open_shared_memory


def main() -> None:
    """Run the job that arrives on standard input, and report an error to rank 0 through standard output."""
    outgoing = os.fdopen(os.dup(1), "wb", buffering=0)
    with suppress(OSError):  # standard error may be closed
        os.dup2(2, 1)  # what the job prints must not mix with the signals to rank 0
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        rank, size, handle, num_bytes = pickle.load(sys.stdin.buffer)
        workers = OtherWorker(rank, size, open_shared_memory(handle, num_bytes), sys.stdin.buffer, outgoing)
        job = pickle.load(sys.stdin.buffer)
        job(workers)
    except (WorkerError, EOFError):
        sys.exit(1)  # rank 0 has ended
    except BaseException as error:
        with suppress(OSError):  # rank 0 has ended
            outgoing.write(FAILED + _pickled(error))
        sys.exit(1)


def _end_with(parent: int) -> None:
    """End this process soon after its parent, even in the middle of a long batch (but not on Windows)."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _pickled(error: BaseException) -> bytes:
    error.add_note("".join(traceback.format_exception(error)))
    try:
        content = pickle.dumps(error)
        pickle.loads(content)
    except Exception:  # its class can't be imported, or needs other arguments
        return pickle.dumps(WorkerError(f"a worker failed: {type(error).__name__}: {error}"))
    return content
