"""Handle Ctrl-C while a program is still importing its modules."""

import os
import signal
from types import FrameType


def end_on_ctrl_c() -> None:
    """Let Ctrl-C end this process at once, with one line, if it would raise KeyboardInterrupt.

    During an import, the exception would print a traceback, or get lost in one of Python's locks.
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
