"""The page itself: the sections, put into the template."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment
from numpy import quantile

from charrnn.evaluation import LN2
from pages.templates import colours, environment
from report import plots
from report.alphabet import LABELLED, alphabet
from report.baselines import COUNTED, SCORED, baselines, best_ngram_model
from report.card import card
from report.characters import shortened, visible
from report.coloured import percent
from report.evolution import selected
from report.gates import MEANINGS, gates
from report.looking_back import looking_back
from report.losses import where_the_loss_is
from report.picture import picture
from report.samples import REMEMBERED, samples
from report.subject import Subject
from report.surprise import surprise
from report.units import units

FOLDER = Path(__file__).parent
PLOTS = (*plots.NAMES, "surprise")
LARGEST = 300_000  # bytes of a page
EVOLUTION_SHOWN = 12_000  # characters of the samples after each epoch


class Report(NamedTuple):
    """A page, and the plots by their names, as SVG files."""

    page: str
    plots: Mapping[str, bytes]


def report(subject: Subject, seed: int, start_string: str) -> Report:
    """The report on a run, with samples of this seed that begin with this text.

    Raises
    ------
    InputError
        If the start string has characters that the model does not know.
    """
    best = best_ngram_model(subject.train_ids, subject.trained.vectorizer.vocabulary_size)
    counting = baselines(subject.train_ids, subject.test_ids, best)
    loss, use, surprised = where_the_loss_is(subject, best), gates(subject.reading), surprise(subject)
    drawn = {
        plot.name: plot
        for plot in (
            plots.learning(subject.history, subject.trained.params.get("clip_norm", 0)),
            plots.context(subject.context),
            plots.gates(use.saturations, use.memory, use.activity),
            plots.losses(loss.word_places, loss.line_places, f"{best.order}-gram"),
            alphabet(subject),
        )
    }
    values = dict(
        subject=subject,
        baselines=counting,
        best=best,
        counted_in=min(COUNTED, len(subject.train_ids)),
        scored_on=min(SCORED, len(subject.test_ids)),
        card=card(subject, counting),
        surprise=surprised,
        units=units(subject),
        gates=use,
        losses=loss,
        back=looking_back(subject),
        samples=samples(subject, seed, start_string),
        plots={name: plot.inline() for name, plot in drawn.items()},
    )
    files = {name: plot.file() for name, plot in drawn.items()}
    return Report(render(values), files | {"surprise": picture(surprised.spans, colours())})


def render(values: Mapping[str, Any]) -> str:
    """The page of these values, with as many coloured units as fit."""
    template, coloured = _environment().get_template("page.html.j2"), list(values["units"])
    while True:
        page = template.render(values, coloured_units=coloured)
        if len(page.encode()) < LARGEST or not coloured:
            return page
        coloured.pop()


def _environment() -> Environment:
    found = environment(FOLDER)
    found.globals |= {
        "css": _file("page.css"),
        "js": _file("page.js"),
        "evolution_shown": EVOLUTION_SHOWN,
        "labelled": LABELLED,
        "meanings": MEANINGS,
        "remembered": REMEMBERED,
        "ln2": LN2,
        "quantile": quantile,
    }
    found.filters |= {"percent": percent, "selected": selected, "shortened": shortened, "visible": visible}
    return found


def _file(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
