"""Jinja templates, and the colours of all pages for light and dark."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from charrnn.messages import counted, figure


def environment(folder: Path) -> Environment:
    """The templates in a folder, which may use the filters `counted` and `figure` and the style sheet `colours`."""
    found = Environment(
        loader=FileSystemLoader(folder, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.globals["colours"] = colours()
    found.filters |= {"counted": counted, "figure": figure}
    return found


def colours() -> str:
    """The style sheet with the colours, as variables for light and dark, and with classes for coloured text.

    These are s1 … s8 for degrees of surprise, and n1 … n3 and p1 … p3 for units below and above 0.
    """
    return Path(__file__).with_name("colours.css").read_text(encoding="utf-8")
