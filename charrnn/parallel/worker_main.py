"""The program that a worker process runs: get a job from rank 0, do it together with the others, and end."""

import os
import pickle
import sys
from contextlib import suppress

from charrnn.parallel.processes import FAILED, OtherWorker, WorkerError, open_shared_memory


def main() -> None:
    """Do the job that stands in standard input, and report an error to rank 0 through standard output."""
    outgoing = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what the job prints must not get among the signals
    try:
        rank, size, handle, num_bytes = pickle.load(sys.stdin.buffer)
        workers = OtherWorker(rank, size, open_shared_memory(handle, num_bytes), sys.stdin.buffer, outgoing)
        job = pickle.load(sys.stdin.buffer)
        job(workers)
    except (WorkerError, EOFError):
        sys.exit(1)  # rank 0 has ended
    except BaseException as error:
        with suppress(OSError):  # rank 0 has ended
            outgoing.write(FAILED + pickle.dumps(error))
        sys.exit(1)
