"""What a search has found, to be read: a table of all trials, and one page of pictures that needs no network."""

import html
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
import plotly.graph_objects as go
from optuna.trial import FrozenTrial, TrialState
from optuna.visualization import (
    plot_optimization_history,
    plot_parallel_coordinate,
    plot_param_importances,
    plot_pareto_front,
)

from charrnn.files import replacing
from stages.files import write_csv
from stages.search import best_trials, settings
from stages.search_space import as_yaml

LOSS, SECONDS = "validation loss", "training seconds"
OUTCOMES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "lost"}


def write_table(path: Path, study: optuna.Study) -> None:
    """A row for each trial that has ended. A lost one was interrupted; `again_as` is the trial that did it again."""
    trials = study.get_trials(deepcopy=False, states=tuple(OUTCOMES))
    again = {}
    for trial in study.get_trials(deepcopy=False):
        if history := optuna.storages.RetryHeartbeatStaleTrialCallback.retry_history(trial):
            again[history[-1]] = trial.number
    if trials:
        write_csv(path, [_row(trial, again) for trial in trials])


def _row(trial: FrozenTrial, again: Mapping[int, int]) -> dict[str, Any]:
    losses = trial.user_attrs.get("losses", [])
    return {
        "trial": trial.number,
        "outcome": "failed" if "problem" in trial.user_attrs else OUTCOMES[trial.state],
        "again_as": again.get(trial.number),
        "validation_loss": min(losses, default=None),
        "epochs": len(losses),
        "seconds": trial.user_attrs.get("seconds"),
        # As text, all digits are kept: with the six of a metric, a trial could not be repeated exactly.
        **{name: as_yaml(value) for name, value in trial.user_attrs.get("params", {}).items()},
    }


def write_page(path: Path, study: optuna.Study) -> None:
    """The pictures, with all they need in the page itself."""
    complete = best_trials(study)
    two = len(study.directions) == 2
    loss: dict[str, Any] = dict(target=lambda trial: trial.values[0], target_name=LOSS)
    pictures: dict[str, Callable[[], go.Figure]] = {
        "Optimization history": lambda: plot_optimization_history(study, **loss),
        "Learning curves": lambda: learning_curves(study),
        "Importance of each hyperparameter": lambda: plot_param_importances(study, **loss),
        "Parallel coordinates": lambda: plot_parallel_coordinate(study, **loss),
    }
    if two:
        front = {"Pareto front": lambda: plot_pareto_front(study, target_names=[LOSS, SECONDS])}
        pictures = front | pictures
    title = f"Study {html.escape(study.study_name)}"
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>',
        '<body style="font-family: sans-serif; max-width: 70em; margin: auto">',
        f"<h1>{title}</h1><p>{_summary(complete)}</p>",
    ]
    plotly_is_there = False
    for heading, picture in pictures.items():
        parts.append(f"<h2>{heading}</h2>")
        try:
            with warnings.catch_warnings(action="ignore"):  # that few trials tell little
                figure = picture().update_layout(title=None)
        except (ValueError, RuntimeError) as error:  # as for the importance of what has been tried once
            parts.append(f"<p>No picture yet: {html.escape(str(error))}</p>")
            continue
        parts.append(figure.to_html(full_html=False, include_plotlyjs=not plotly_is_there))
        plotly_is_there = True
    with replacing(path) as temporary:
        temporary.write_text("\n".join([*parts, "</body></html>\n"]), encoding="utf-8")


def learning_curves(study: optuna.Study) -> go.Figure:
    """Validation loss by epoch, a line a trial; those that were pruned are paler."""
    figure = go.Figure()
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)):
        losses = trial.user_attrs.get("losses", [])
        figure.add_scatter(
            x=list(range(1, len(losses) + 1)),
            y=losses,
            name=f"trial {trial.number}",
            opacity=1.0 if trial.state == TrialState.COMPLETE else 0.4,
        )
    return figure.update_layout(xaxis_title="epoch", yaxis_title=LOSS)


def _summary(trials: list[FrozenTrial]) -> str:
    if not trials:
        return "No trial is complete."
    best = trials[0]
    return f"Lowest validation loss: {best.values[0]:.6g}, of trial {best.number} ({html.escape(settings(best))})."
