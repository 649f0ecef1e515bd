"""Drawing with Matplotlib, as SVG: equal drawings have equal bytes, and text and axes take the colour of the page."""

import io
import logging
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns while it lists the fonts for the first time

import matplotlib  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

INK = "#808080"  # text and axes in a file, legible on light and dark; in the page it becomes the colour of the text
BLUE, ORANGE = "#2f7fc1", "#d9730d"  # told apart by colour-blind people too, and legible on light and dark
STYLE_OF_ALL = 'font-family="sans-serif" font-size="9px" stroke-linejoin="round"'  # what Matplotlib writes everywhere
LONG_NUMBER = re.compile(r"(?<![#\w.-])-?\d+\.\d{3,}")
POINTS = 72  # in an inch
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text remains text
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "path.simplify": False,  # it would drop dots
    **dict.fromkeys(
        ["text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color"], INK
    ),
}

Panel = Callable[[Axes], None]


@dataclass(frozen=True)
class Plot:
    """Panels under one name: side by side in a file, and one by one in a page, where they wrap.

    Attributes
    ----------
    name
        Of the file.
    description
        What the plot shows, for people who can't see it.
    panels
        Functions that draw on Matplotlib's axes.
    width, height
        Of a panel, in pixels.
    """

    name: str
    description: str
    panels: Sequence[Panel]
    width: float = 330
    height: float = 220

    def file(self) -> bytes:
        """An SVG file with all panels."""
        return self._draw(self.panels).encode()

    def inline(self) -> list[str]:
        """An <svg> element for each panel."""
        return [self._inline(self._draw([panel], f"{self.name}{i}")) for i, panel in enumerate(self.panels)]

    def _draw(self, panels: Sequence[Panel], salt: str = "") -> str:
        size = (len(panels) * self.width / POINTS, self.height / POINTS)
        with matplotlib.rc_context(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about characters that Matplotlib's font lacks; the browser has its own
            matplotlib.rcdefaults()  # whatever the user's matplotlibrc says
            matplotlib.rcParams.update(STYLE | {"svg.hashsalt": salt or self.name})
            figure = Figure(figsize=size, layout="constrained")
            for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
                panel(axes)
            file = io.StringIO()
            figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        return compact(file.getvalue())

    def _inline(self, svg: str) -> str:
        element = svg[svg.index("<svg") :].replace(INK, "currentColor").replace("xlink:href", "href")
        _, _, contents = element.partition(">")
        size = f'viewBox="0 0 {self.width:g} {self.height:g}" style="max-width:{self.width * 1.3:g}px"'
        return f'<svg role="img" aria-label="{escape(self.description)}" {STYLE_OF_ALL} {size}>{contents}'


def compact(svg: str) -> str:
    """Matplotlib's SVG in half as many bytes: without comments, metadata, unused ids and long numbers."""
    svg = re.sub(r"<!--.*?-->|<!DOCTYPE.*?>|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="[a-z0-9.]+_\d+"', "", svg)  # of groups; those of clip paths and markers have no underscore
    svg = re.sub(r"(font-size: 9px; )?font-family: [^;]*; ", "", svg)  # those of the whole, see below
    svg = re.sub(r' transform="rotate\(-0 [^"]*"|<path [^>]* style="fill: none"/>', "", svg)
    svg = re.sub(r'<defs>\s*<style type="text/css">\*{stroke-linejoin: round;[^<]*</style>\s*</defs>', "", svg)
    svg = re.sub(r"<[^>]*>", lambda tag: LONG_NUMBER.sub(_rounded, tag[0]), svg)
    svg = re.sub(r"\s+<", "<", svg).replace("<svg ", f"<svg {STYLE_OF_ALL} ", 1)
    return re.sub(r" *\n *", " ", svg).replace("</svg>", "</svg>\n")


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
