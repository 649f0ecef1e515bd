"""A program in a pseudo-terminal, and what its screen shows, for tests of what stages do in a terminal."""

import codecs
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

from tests.stage_project import ENVIRONMENT, command

ROWS, COLUMNS = 40, 120
GUARD = 120  # seconds until a test gives up
# An escape sequence, a control character, or text, as in \x1b[2K, \r, or "ab".
UNFINISHED = re.compile(r"\x1b(\[[?\d;]*)?$")
TOKEN = re.compile(r"\x1b\[([?\d;]*)([@-~])|([\x00-\x1f])|([^\x00-\x1f]+)")


class Screen:
    """What a terminal shows after the escape sequences that prompt_toolkit uses."""

    def __init__(self):
        self.cells, self.row, self.column, self.unfinished = {}, 0, 0, ""

    def __str__(self):
        lines = [[" "] * COLUMNS for _ in range(ROWS)]
        for (row, column), character in self.cells.items():
            lines[row][column] = character
        return "\n".join("".join(line).rstrip() for line in lines).rstrip("\n")

    def show(self, output):
        output = self.unfinished + output
        end = UNFINISHED.search(output)
        self.unfinished = end[0] if end else ""
        for argument, final, control, text in TOKEN.findall(output.removesuffix(self.unfinished)):
            if text:
                for character in text:
                    self.cells[self.row, self.column] = character
                    self.column += 1
            elif control:
                self.column = 0 if control == "\r" else self.column - (control == "\b")
                self.row += control == "\n"
            else:
                self._obey(final, int(argument) if argument.isdigit() else 1)

    def _obey(self, final, n):
        down, right = {"A": (-n, 0), "B": (n, 0), "C": (0, n), "D": (0, -n)}.get(final, (0, 0))
        self.row, self.column = self.row + down, self.column + right
        here = (self.row, self.column)
        if final == "K":
            self.cells = {place: c for place, c in self.cells.items() if place[0] != self.row or place < here}
        elif final == "J":
            self.cells = {place: c for place, c in self.cells.items() if place < here}


class Terminal:
    """A stage in a terminal of its own. A context manager: when the block ends, the program has ended or is killed."""

    def __init__(self, folder, stage, *flags, rows=ROWS, **environment):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, COLUMNS, 0, 0))
        own = {"TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1", "COLUMNS": str(COLUMNS)}
        usual = {name: value for name, value in ENVIRONMENT.items() if name not in ("NO_COLOR", "COLUMNS")}
        self.process = subprocess.Popen(
            command(stage, *flags),
            cwd=folder,
            env=usual | own | environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.output, self.screen, self.decoder = "", Screen(), codecs.getincrementaldecoder("utf-8")()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        os.close(self.master)

    def type(self, keys):
        os.write(self.master, keys.encode())

    def wait_until(self, condition):
        """Read what the program prints until its screen fulfils a condition."""
        deadline = time.monotonic() + GUARD
        while not condition(str(self.screen)):
            assert self._read(deadline), str(self.screen)

    def wait_for(self, text):
        """Read what the program prints until its screen shows this text."""
        self.wait_until(lambda screen: text in screen)

    def wait_for_end(self):
        """Read all that the program prints until it ends; its exit code."""
        deadline = time.monotonic() + GUARD
        while self._read(deadline):
            pass
        return self.process.wait(timeout=GUARD)

    def _read(self, deadline):
        """Read some output; False at its end."""
        ready, _, _ = select.select([self.master], [], [], max(0, deadline - time.monotonic()))
        assert ready, str(self.screen)
        try:
            read = os.read(self.master, 1 << 16)
        except OSError:  # Linux's way to say that the program has ended
            read = b""
        text = self.decoder.decode(read)
        self.output += text
        self.screen.show(text)
        return bool(read)
