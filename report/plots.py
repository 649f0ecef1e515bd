"""The plots of the report. Each is drawn whatever a run lacks; then it says what is missing."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from charrnn.arrays import Array
from charrnn.evaluation import LN2
from report.characters import label
from report.losses import Group
from report.svg import BLUE, INK, ORANGE, Panel, Plot

GRID = 40  # cells for each axis of a plot of gates; points in one cell are drawn as one
DRAWN = 100  # points of a curve at most
MARKED = 30  # points of a curve that are marked at most
LONGEST_MEMORY = 1000  # characters; the last bin of time constants
ALPHABET = np.array([400, 420])  # pixels of this plot, so small that its labels can still be read on a phone
LABEL = np.array([11, 12])  # pixels that a label needs
STEPS = 200  # in which labels are moved apart

NAMES = ("learning", "context", "gates", "losses", "alphabet")  # of the files


def missing(axes: Axes, why: str) -> None:
    """An empty panel that says why."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes)


def learning(history: Sequence[Mapping[str, float]], clip_norm: float) -> Plot:
    """Losses, learning rate and norm of the gradient by epoch."""
    panels: list[Panel]
    if history:
        panels = [partial(_losses, history), partial(_learning_rate, history), partial(_norm, history, clip_norm)]
    else:
        panels = [partial(missing, why="there is no history of the training")]
    return Plot("learning", "losses, learning rate and norm of the gradient by epoch", panels)


def _by_epoch(axes: Axes, history: Sequence[Mapping[str, float]], name: str, **style: Any) -> None:
    rows = thinned([row for row in history if name in row], evenly=True)
    marker = "o" if len(rows) <= MARKED else ""
    axes.plot([row["epoch"] for row in rows], [row[name] for row in rows], marker=marker, markersize=3, **style)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _losses(history: Sequence[Mapping[str, float]], axes: Axes) -> None:
    _by_epoch(axes, history, "train_loss", color=BLUE, label="training text")
    _by_epoch(axes, history, "validation_loss", color=ORANGE, label="validation text")
    axes.set_title("loss (nats per character)")
    axes.legend()


def _learning_rate(history: Sequence[Mapping[str, float]], axes: Axes) -> None:
    _by_epoch(axes, history, "learning_rate", color=BLUE)
    axes.set_title("learning rate at the end of the epoch")
    axes.set_ylim(bottom=0)


def _norm(history: Sequence[Mapping[str, float]], clip_norm: float, axes: Axes) -> None:
    _by_epoch(axes, history, "gradient_norm", color=BLUE, label="mean before clipping")
    if clip_norm:
        axes.axhline(clip_norm, color=ORANGE, linestyle="--", label=f"clipped to {clip_norm:g}")
        axes.legend()
    axes.set_title("norm of the gradient")
    axes.set_ylim(bottom=0)


def context(rows: Sequence[Mapping[str, float]]) -> Plot:
    """Loss by the number of characters read since the state was zero."""
    panel = partial(_context, rows) if rows else partial(missing, why="the model has not been evaluated")
    return Plot("context", "test loss by the number of characters of context", [panel], width=480, height=260)


def thinned(rows: Sequence[Mapping[str, float]], *, evenly: bool) -> list[Mapping[str, float]]:
    """At most `DRAWN` of the rows, first and last included, evenly or in geometric steps: the rest can't be seen."""
    if len(rows) <= DRAWN:
        return list(rows)
    places = np.linspace(0, len(rows) - 1, DRAWN) if evenly else np.geomspace(1, len(rows), DRAWN) - 1
    return [rows[i] for i in sorted(set(np.rint(places).astype(int).tolist()))]


def _context(every: Sequence[Mapping[str, float]], axes: Axes) -> None:
    rows = thinned(every, evenly=False)
    axes.plot([row["position"] for row in rows], [row["loss"] / LN2 for row in rows], color=BLUE)
    axes.set_xlabel("characters read since the state was zero")
    axes.set_title("bits per character of the test text")
    if len(rows) > 9:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")


def gates(saturations: Mapping[str, tuple[Array, Array]], memory: Mapping[str, Array], activity: Array) -> Plot:
    """Saturation of each gate and time constants by unit, or, without gates, the saturation of the states.

    Parameters
    ----------
    saturations
        The shares of time steps below 0.1 and above 0.9 by unit, for each gate.
    memory
        Time constants by unit for each layer, in characters.
    activity
        For a layer without gates: the share of time steps in which each unit's |h| is above 0.9.
    """
    if saturations:
        panels: list[Panel] = [partial(_gate, name, *shares) for name, shares in saturations.items()]
        panels += [partial(_memory, memory)] if memory else []
    else:
        panels = [partial(_activity, activity)]
    return Plot("gates", "how often each unit's gates are nearly closed and nearly open, and time constants", panels)


def _gate(name: str, low: Array, high: Array, axes: Axes) -> None:
    cells = np.unique(np.rint(np.column_stack([high, low]) * GRID), axis=0) / GRID
    _points(axes, cells)
    axes.plot([0, 1], [1, 0], color=INK, linewidth=0.5)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), title=f"{name} gate")
    axes.set(xlabel="open (above 0.9)", ylabel="closed (below 0.1)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1))


def _points(axes: Axes, places: Array) -> None:
    """Dots as one path of lines without length, which takes a fifth of the bytes of markers."""
    gaps = np.full((len(places), 1), np.nan)
    x, y = (np.hstack([column[:, None], column[:, None], gaps]).ravel() for column in places.T)
    axes.plot(x, y, color=BLUE, linewidth=4, solid_capstyle="round", alpha=0.7)


def _memory(memory: Mapping[str, Array], axes: Axes) -> None:
    bins = np.geomspace(0.1, LONGEST_MEMORY, 25).tolist()
    for (name, constants), color in zip(memory.items(), (BLUE, ORANGE, INK)):
        axes.hist(np.clip(constants, bins[0], bins[-1]), bins, color=color, histtype="step", label=name, linewidth=1.5)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set(title="time constants", xlabel="characters", ylabel="units")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    if len(memory) > 1:
        axes.legend()


def _activity(activity: Array, axes: Axes) -> None:
    axes.hist(activity, np.linspace(0, 1, 21).tolist(), color=BLUE)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set(title="saturation", xlabel="share of characters with |h| above 0.9", ylabel="units")


def losses(by_word: Sequence[Group], by_line: Sequence[Group], ngrams: str) -> Plot:
    """Bits per character by place in the word and in the line, beside those of the n-gram model."""
    panels = [partial(_groups, *of_unit, ngrams) for of_unit in ((by_word, "word"), (by_line, "line"))]
    return Plot("losses", "bits per character by place in the word and in the line", panels)


def _groups(found: Sequence[Group], unit: str, ngrams: str, axes: Axes) -> None:
    if not found:
        missing(axes, f"no {unit} begins in the text")
        return
    places = np.arange(len(found))
    axes.barh(places - 0.2, [group.network for group in found], 0.4, color=BLUE, label="network")
    axes.barh(places + 0.2, [group.ngrams for group in found], 0.4, color=ORANGE, label=ngrams)
    axes.set_yticks(places, [group.name for group in found])
    axes.invert_yaxis()
    axes.set_title(f"bits by place in the {unit}")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)  # below, where no bar is


def alphabet(characters: Sequence[str], coordinates: Array, shares: Array, why: str = "") -> Plot:
    """The first two principal components of the characters' vectors, labelled; or `why` there are none."""
    panel = partial(missing, why=why) if why else partial(_alphabet, characters, coordinates, shares)
    width, height = ALPHABET.tolist()
    return Plot("alphabet", "characters by the first two principal components", [panel], width=width, height=height)


def _alphabet(characters: Sequence[str], coordinates: Array, shares: Array, axes: Axes) -> None:
    label_size = LABEL / ALPHABET * np.maximum(np.ptp(coordinates, axis=0), 1e-9)  # in the units of the axes
    places = coordinates + label_size * moves_apart(coordinates / label_size)
    low, high = places.min(axis=0) - 2 * label_size, places.max(axis=0) + 2 * label_size
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    for character, (x, y) in reversed([*zip(characters, places.tolist())]):  # the most frequent on top
        color = BLUE if character.isalpha() and not character.isupper() else ORANGE if character.isalpha() else INK
        text = axes.text(x, y, label(character), color=color, ha="center", va="center", fontsize=11, parse_math=False)
        text.set_in_layout(False)
    axes.set_xlabel(f"first component: {shares[0]:.0%} of the variance")
    axes.set_ylabel(f"second: {shares[1]:.0%}")
    axes.tick_params(labelbottom=False, labelleft=False)


def moves_apart(places: Array) -> Array:
    """How to move points (n, 2) so that hardly two are nearer than 1. A point with room around it stays where it is."""
    angles = np.arange(len(places))
    start = places + 1e-6 * np.column_stack([np.cos(angles), np.sin(angles)])  # so that no two coincide
    moves = np.zeros_like(start)
    for _ in range(STEPS):
        now = start + moves
        gaps = now[:, None] - now
        distances = np.maximum(np.linalg.norm(gaps, axis=2, keepdims=True), 1e-9)
        moves += 0.1 * (np.maximum(1 - distances, 0) / distances * gaps).sum(axis=1)
    return moves
