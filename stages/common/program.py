"""How a stage ends: whatever goes wrong is one clear line and an exit code that tells DVC."""

import os
import sys
import warnings
from collections.abc import Callable

from threadpoolctl import threadpool_limits

from charrnn.errors import CharRNNError


def run(main: Callable[[], None]) -> None:
    """Run a stage. An error that its user can mend, and Ctrl-C, end it with one line and an exit code above 0."""
    # An overflow is found by the figures it leads to. np.errstate would slow down every NumPy call; this does not.
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="charrnn")
    # The terminal or file may lack characters of the text. (To mypy, standard output could be anything with `write`.)
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        with threadpool_limits(1, user_api="blas"):  # so that results do not depend on the number of cores
            main()
        sys.stdout.flush()
    except CharRNNError as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:  # `python -m stages.sample | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except FileNotFoundError as error:
        sys.exit(f"error: {error.filename} is missing; run the stages before this one first, or `dvc repro`")
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        sys.exit(f"error: {place}{error.strerror or error}")
    except MemoryError as error:
        sys.exit(f"error: out of memory: {error}")
    except KeyboardInterrupt as interrupt:
        print("; ".join(["\ninterrupted", *interrupt.args]), file=sys.stderr)
        sys.exit(130)
