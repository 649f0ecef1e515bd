"""Fill in the template of the page with the network and the settings that the page starts with."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charrnn.errors import InputError
from charrnn.evaluation import LN2
from charrnn.messages import counted
from charrnn.model_file import ModelFile
from pages.templates import environment
from playground.layers import PageLayer, numbers_of
from playground.probes import Finding

FOLDER = Path(__file__).parent
SCRIPTS = ("network.js", "reading.js", "colours.js", "panels.js", "field.js", "address.js", "page.js")
MILLION = 10**6
CELLS = {"gru": "GRU", "lstm": "LSTM", "rnn": "simple recurrent network"}


@dataclass(frozen=True)
class Losses:
    """The loss in nats per character of a model and of its rounded weights, on this many characters of a text."""

    exact: float
    rounded: float
    characters: int


def require_small(layers: Sequence[PageLayer], most_mb: float, precision: str) -> None:
    """Raise InputError if the weights alone would make the page larger than this many millions of bytes."""
    # base64 has 4 characters for 3 bytes
    size = sum(int(array.nbytes) for array in numbers_of(layers)) * 4 / 3 / MILLION
    if size > most_mb:
        smaller = "" if precision == "int8" else "; --precision int8 makes it smaller"
        raise InputError(
            f"the page would have {size:,.1f} million bytes, and --max-mb is {most_mb:g}{smaller}; a browser may take "
            "long to open it; a larger --max-mb allows it"
        )


def page(
    trained: ModelFile,
    layers: Sequence[PageLayer],
    precision: str,
    settings: Mapping[str, Any],
    findings: Sequence[Finding],
    losses: Losses | None,
) -> str:
    """The page of a model with these layers: equal arguments give the same page.

    Parameters
    ----------
    settings
        What the page starts with: start_string, temperature, top_k, top_p and seed.
    findings
        What the state follows, from `playground.probes.findings`; may be empty.
    losses
        What rounding costs, if it was measured.
    """
    network = {
        "vocabulary": trained.vectorizer.vocabulary,
        "precision": precision,
        "layers": [layer.as_json() for layer in layers],
    }
    contents = {
        "network": network,
        "model": hashlib.sha256(json.dumps(network).encode()).hexdigest()[:8],
        "beginning": settings["start_string"],
        "states": _states(trained),
        "findings": [finding.as_json() for finding in findings],
    }
    template = environment(FOLDER).get_template("page.html.j2")
    return template.render(
        css=_file("page.css"),
        js="\n".join(map(_file, SCRIPTS)),
        ln2=LN2,
        contents=as_script_data(contents),
        trained=trained,
        cells=_cells(layers),
        precision=precision,
        settings=settings,
        findings=findings,
        losses=losses,
    )


def as_script_data(contents: Mapping[str, Any]) -> str:
    """JSON for a script element: ASCII, and without a "<" that might end the element."""
    return json.dumps(contents).replace("<", "\\u003c")


def _states(trained: ModelFile) -> list[dict[str, Any]]:
    """Name, layer number and width of each state, in the order of the layers; the number is 0 if there is only one."""
    layers = [layer.state_dims for layer in trained.model.layers if layer.state_dims]
    names = {"h": "unit", "c": "cell"}
    return [
        {"name": names[name], "layer": number if len(layers) > 1 else 0, "size": size}
        for number, states in enumerate(layers, start=1)
        for name, size in states.items()
    ]


def _cells(layers: Sequence[PageLayer]) -> str:
    """The recurrent layers in words.

    >>> _cells([PageLayer("gru", 128), PageLayer("gru", 128)])
    'a GRU of 2 layers with 128 units each'
    """
    recurrent = [layer for layer in layers if layer.kind in CELLS]
    kinds, sizes = {CELLS[layer.kind] for layer in recurrent}, {layer.size for layer in recurrent}
    if len(kinds) > 1 or len(sizes) > 1:
        parts = [f"{CELLS[layer.kind]} of {counted(layer.size, 'unit')}" for layer in recurrent]
        return "a stack of " + ", ".join(parts)
    article = "an" if "LSTM" in kinds else "a"
    each = " each" if len(recurrent) > 1 else ""
    of_layers = f"{len(recurrent)} layers with " if len(recurrent) > 1 else ""
    return f"{article} {kinds.pop()} of {of_layers}{counted(sizes.pop(), 'unit')}{each}"


def _file(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
