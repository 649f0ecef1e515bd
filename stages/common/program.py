"""Run a stage: every error ends it with one clear line, and with an exit code that DVC sees."""

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import cast

from threadpoolctl import threadpool_limits

from charrnn.errors import CharRNNError
from charrnn.messages import shown
from stages.common.interrupts import raise_on_ctrl_c

LONGEST_LINE = 2000  # characters
STANDARD_OUTPUT = "standard output"


def run(main: Callable[[], None]) -> None:
    """Run a stage. Errors that the user can fix, and Ctrl-C, end it with one line and an exit code above 0."""
    try:
        raise_on_ctrl_c()
        # Overflows show up as figures that are not finite. np.errstate would slow down every NumPy call.
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="charrnn")
        open_standard_streams()
        with named_standard_output(), threadpool_limits(1, user_api="blas"):  # results don't depend on the cores
            main()
    except KeyboardInterrupt as interrupt:
        with contextlib.suppress(OSError):  # the terminal is closed
            print("\n" + shown("; ".join(["interrupted", *interrupt.args]), LONGEST_LINE), file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError as error:
        sys.exit(1 if error.filename == STANDARD_OUTPUT else error_line(error))  # `| head` needs no message
    except (CharRNNError, OSError, MemoryError) as error:
        sys.exit(error_line(error))


def error_line(error: Exception) -> str:
    """The line to print for an error."""
    text = str(error)
    if isinstance(error, OSError):
        place = f"{shown(error.filename)}: " if error.filename else ""
        text = f"{place}{error.strerror or error}"
    elif isinstance(error, MemoryError):
        text = f"out of memory: {error}"
    return shown(f"error: {text}", LONGEST_LINE)


def open_standard_streams() -> None:
    """Open closed standard streams on the null device; `sys.stdin` stays None if it was.

    Otherwise our own files would get their descriptors, and with them what is written to the streams.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))


class StandardOutput(io.TextIOWrapper):
    """Standard output that sets the file name of its errors, and escapes characters that its encoding lacks."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            error.filename = STANDARD_OUTPUT
            raise

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            error.filename = STANDARD_OUTPUT
            raise


@contextlib.contextmanager
def named_standard_output() -> Iterator[None]:
    """Use `StandardOutput` in the block, and flush it at the end, even after an error."""
    before = cast(io.TextIOWrapper, sys.stdout)
    before.flush()
    output = sys.stdout = StandardOutput(
        before.buffer,
        before.encoding,
        errors="backslashreplace",
        line_buffering=before.line_buffering,
        write_through=before.write_through,
    )
    try:
        yield
    finally:
        try:
            output.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())  # so that another flush can't fail
            raise
        finally:
            output.detach()
            sys.stdout = before
