"""Write a text together with the trained model, in a terminal: type, pick among the candidates, or let it write."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
from prompt_toolkit import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.data_structures import Point
from prompt_toolkit.document import Document
from prompt_toolkit.filters import is_done
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import BufferControl, ConditionalContainer, FormattedTextControl, HSplit, Layout, Window
from prompt_toolkit.layout.processors import TabsProcessor
from prompt_toolkit.lexers import Lexer, SimpleLexer
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.utils import is_dumb_terminal

from charrnn.errors import InputError
from charrnn.model_file import ModelFile
from charrnn.reading import Context, surprise
from charrnn.sampling import generate, until
from stages.common.colour import HEX, tint
from stages.common.samples import as_row, next_candidates

END = "Ctrl-D: end"
HELP = f"Tab: take; Up, Down: mark another; Ctrl-G: let the model write; {END}"
AT_ONCE = 16  # characters that the model writes before the terminal is drawn again


class Follower:
    """Reads along with a text that is being written: only what is new if it has grown, otherwise all of it again."""

    def __init__(self, trained: ModelFile) -> None:
        self.trained = trained
        self.text = ""
        self.bits: list[float] = []
        self.context: Context | None = None

    def follow(self, text: str) -> None:
        """Read a text, and set `bits` to the surprise of each character, and `context` to what follows from all.

        Raises
        ------
        InputError
            If the model does not know a character; nothing has changed then.
        """
        ids = self.trained.vectorizer.encode(text)
        if not text.startswith(self.text):
            self.text, self.bits, self.context = "", [], None
        bits, self.context = surprise(self.trained.model, ids[len(self.text) :], self.context)
        self.bits += bits.tolist()
        self.text = text


class Shading(Lexer):
    """Shades the text of a buffer by surprise; the first character, and a text with unknown ones, have no shade."""

    def __init__(self, trained: ModelFile) -> None:
        self.follower = Follower(trained)

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        try:
            self.follower.follow(document.text)
            bits = self.follower.bits
        except InputError:
            bits = [np.nan] * len(document.text)
        tints = map(tint, document.text, bits)
        styles = [f"{tinted[0]}:{HEX[tinted[1]]}" if tinted else "" for tinted in tints]
        styled: StyleAndTextTuples = list(zip(styles, document.text))

        def line(number: int) -> StyleAndTextTuples:
            start = document.translate_row_col_to_index(number, 0)
            return styled[start : start + len(document.lines[number])]

        return line


class Desk:
    """The text, the candidates for the character after the cursor, and what keys do."""

    def __init__(
        self, trained: ModelFile, text: str, settings: Mapping[str, Any], *, stop: str, num_shown: int
    ) -> None:
        self.trained, self.stop, self.num_shown = trained, stop, num_shown
        self.settings = {name: value for name, value in settings.items() if name not in ("seed", "start_string")}
        self.rng = np.random.default_rng(settings["seed"])
        self.follower, self.marked = Follower(trained), 0
        self.writing: asyncio.Task[None] | None = None
        self.buffer = Buffer(
            document=Document(text),
            on_text_changed=lambda _: self.unmark(),
            on_cursor_position_changed=lambda _: self.unmark(),
        )

    def unmark(self) -> None:
        """Mark the first candidate, because there are others now."""
        self.marked = 0

    def candidates(self) -> list[tuple[str, float]]:
        """The most probable characters after the cursor; none if there is nothing before it.

        Raises
        ------
        InputError
            If the model does not know a character before the cursor.
        """
        self.follower.follow(self.buffer.document.text_before_cursor)
        context = self.follower.context
        return [] if context is None else next_candidates(self.trained, context, self.num_shown)

    def panel(self) -> str:
        """What stands below the text."""
        try:
            rows = [as_row(*candidate) for candidate in self.candidates()]
        except InputError as error:
            return f"{error}\n{END}"
        marked = [f"{'>' if i == self.marked else ' '} {row}" for i, row in enumerate(rows)]
        return "\n".join([*marked, HELP] if rows else [f"Type a beginning. {END}"])

    def take(self) -> None:
        """Insert the marked candidate."""
        if shown := self._shown():
            self.buffer.insert_text(shown[self.marked][0])

    def move(self, step: int) -> None:
        """Mark another candidate."""
        self.marked = (self.marked + step) % max(1, len(self._shown()))

    def _shown(self) -> list[tuple[str, float]]:
        try:
            return self.candidates()
        except InputError:  # the panel says what is unknown
            return []

    def start_writing(self, app: Application[None]) -> None:
        """Let the model continue the text before the cursor, until it is done or a key is pressed."""
        try:
            written = generate(
                self.trained.model,
                self.trained.vectorizer,
                self.buffer.document.text_before_cursor,
                rng=self.rng,
                **self.settings,
            )
        except InputError:  # the panel says what is unknown
            return
        self.writing = app.create_background_task(self._write(until(written, self.stop)))

    async def _write(self, characters: Iterator[str]) -> None:
        while block := "".join(islice(characters, AT_ONCE)):
            self.buffer.insert_text(block)
            await asyncio.sleep(0)  # so that the terminal is drawn, and keys are handled

    def stop_writing(self) -> None:
        """Stop what `start_writing` has started, if it still runs."""
        if self.writing is not None:
            self.writing.cancel()


def keys(desk: Desk) -> KeyBindings:
    """The keys that differ from those of any text field."""
    bindings = KeyBindings()

    def bind(action: Callable[[KeyPressEvent], object], *names: str) -> None:
        for name in names:
            bindings.add(name)(action)

    bind(lambda event: desk.take(), "tab")
    bind(lambda event: desk.move(-1), "up")
    bind(lambda event: desk.move(+1), "down")
    bind(lambda event: desk.buffer.insert_text("\n"), "enter")
    bind(lambda event: desk.start_writing(event.app), "c-g")
    bind(lambda event: event.app.exit(), "c-d")
    bind(lambda event: event.app.exit(exception=KeyboardInterrupt), "c-c", "<sigint>")
    return bindings


def require_terminal() -> None:
    """Raise InputError unless standard input and output are a terminal on which a text can be edited."""
    for name, stream in (("input", sys.stdin), ("output", sys.stdout)):
        if stream is None or not stream.isatty():
            raise InputError(f"--interactive needs a terminal, but standard {name} is not one")
    if is_dumb_terminal():
        raise InputError(f"--interactive needs a terminal that can move its cursor, but TERM is {os.environ['TERM']}")


def write_together(
    trained: ModelFile, text: str, settings: Mapping[str, Any], *, stop: str, num_shown: int, shade: bool
) -> None:
    """Let the user and the model write on a text, until the user ends it, which leaves the text on the terminal.

    `settings` are those of a sample, which decide what the model writes.

    Raises
    ------
    KeyboardInterrupt
        If it is ended by Ctrl-C.
    """
    desk = Desk(trained, text, settings, stop=stop, num_shown=num_shown)
    lexer = Shading(trained) if shade else SimpleLexer()
    tabs = TabsProcessor(char1=" ", char2=" ")
    page = Window(BufferControl(desk.buffer, [tabs], lexer=lexer), wrap_lines=True, dont_extend_height=True)
    rows = FormattedTextControl(desk.panel, show_cursor=False, get_cursor_position=lambda: Point(0, desk.marked))
    panel = Window(rows, wrap_lines=True, dont_extend_height=True)
    line = Window(height=1, char="-")
    app: Application[None] = Application(
        Layout(HSplit([page, ConditionalContainer(HSplit([line, panel]), ~is_done)])),
        key_bindings=keys(desk),
        color_depth=ColorDepth.DEPTH_8_BIT if shade else ColorDepth.DEPTH_1_BIT,
    )
    app.key_processor.before_key_press += lambda _: desk.stop_writing()
    with contextlib.suppress(EOFError):  # the terminal has gone
        app.run()
