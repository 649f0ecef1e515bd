"""What Ctrl-C does while a program still imports its modules, and then."""

import os
import signal
from types import FrameType


def end_on_ctrl_c() -> None:
    """Let Ctrl-C end this process at once, with one line, if it would raise KeyboardInterrupt.

    During an import, that would print a traceback, or be lost in a lock of Python's own.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def raise_on_ctrl_c() -> None:
    """Undo `end_on_ctrl_c`."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: FrameType | None) -> None:
    try:
        os.write(2, b"\ninterrupted\n")
    finally:
        os._exit(130)
