"""The beginning of the passage coloured by surprise as a picture, for a README or a slide, in the colours of the page.

An SVG file can hold HTML (a `foreignObject`), so the browser sets the text as it does in the page: letters that are
joined, wide, or written from right to left.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from html import escape
from itertools import dropwhile

from report.coloured import Span

COLUMNS, LINES = 72, 14  # at most
CHARACTER, LINE, MARGIN = 8.43, 22, 14  # pixels: the width of a character of 14 px, the height of a line
SETTING = (
    f"div {{ background: var(--box); border-radius: 6px; color: var(--ink); font: 14px/{LINE}px ui-monospace, "
    "SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; height: 100%; box-sizing: border-box; "
    f"padding: {MARGIN}px; unicode-bidi: plaintext; white-space: pre }} i {{ font-style: normal }}"
)


def picture(spans: Sequence[Span], colours: str) -> bytes:
    """An SVG file with the first lines of some spans; `colours` is a style sheet with the colours of their classes."""
    lines = (list(dropwhile(_is_blank, wrapped(spans))) or list(wrapped(spans)))[:LINES]
    text = "\n".join("".join(map(_element, line)).rstrip("\n") for line in lines)
    columns = max(sum(map(_width, line)) for line in lines)
    width, height = round(2 * MARGIN + CHARACTER * columns), 2 * MARGIN + LINE * len(lines)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">\n'
        f"<style>\n{colours}{SETTING}\n</style>\n"
        f'<foreignObject width="100%" height="100%"><div xmlns="http://www.w3.org/1999/xhtml" dir="auto">{text}</div>'
        "</foreignObject>\n</svg>\n"
    ).encode()


def wrapped(spans: Sequence[Span]) -> Iterator[list[Span]]:
    """Lines of at most `COLUMNS` columns, broken after a space if there is one."""
    line: list[Span] = []
    for span in spans:
        line.append(span)
        if span.text.endswith("\n"):
            yield line
            line = []
        elif sum(map(_width, line)) > COLUMNS:
            end = next((i for i in range(len(line) - 1, 0, -1) if line[i - 1].text.isspace()), len(line) - 1)
            yield line[:end]
            line = line[end:]
    if line:
        yield line


def _is_blank(line: list[Span]) -> bool:
    return line[0].text.endswith("\n")


def _width(span: Span) -> int:
    """The columns of a span in a monospaced font, in which a Chinese character takes two."""
    seen = [character for character in span.text if unicodedata.category(character) not in ("Mn", "Me", "Cf", "Cc")]
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in seen)


def _element(span: Span) -> str:
    text = escape(span.text.rstrip("\n"))
    return f'<i class="{span.style}">{text}</i>' if span.style != "s0" else text
