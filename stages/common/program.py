"""Run a stage: every error ends it with one clear line, and with an exit code that DVC sees."""

import os
import sys
import warnings
from collections.abc import Callable

from threadpoolctl import threadpool_limits

from charrnn.errors import CharRNNError


def run(main: Callable[[], None]) -> None:
    """Run a stage. Errors that the user can fix, and Ctrl-C, end it with one line and an exit code above 0."""
    # Overflows show in figures that are not finite. np.errstate would slow down every NumPy call; this filter does not.
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="charrnn")
    # The output encoding may lack characters of the text. (For mypy, standard output is anything with `write`.)
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
        sys.exit(f"error: {error.filename} is missing; run the earlier stages first, or `dvc repro`")
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        sys.exit(f"error: {place}{error.strerror or error}")
    except MemoryError as error:
        sys.exit(f"error: out of memory: {error}")
    except KeyboardInterrupt as interrupt:
        print("; ".join(["\ninterrupted", *interrupt.args]), file=sys.stderr)
        sys.exit(130)
