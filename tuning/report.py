"""The report of a search: one HTML page of plots, which works without a network."""

import html
import warnings
from collections.abc import Callable
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

from charrnn.storage.files import atomic_write
from tuning.study import best_trials, searched_params

LOSS, SECONDS = "validation loss", "training seconds"


def write_report(path: Path, study: optuna.Study) -> None:
    """Write the page, which includes Plotly's library."""
    title = f"Study {html.escape(study.study_name)}"
    page = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>',
        '<body style="font-family: sans-serif; max-width: 70em; margin: auto">',
        f"<h1>{title}</h1><p>{_summary(best_trials(study))}</p>",
    ]
    has_library = False
    for heading, plot in _plots(study).items():
        page.append(f"<h2>{heading}</h2>")
        try:
            with warnings.catch_warnings(action="ignore"):  # about small numbers of trials
                figure = plot().update_layout(title=None, margin_t=40)
        except (ValueError, RuntimeError) as error:  # too few trials, for example
            page.append(f"<p>No plot yet: {html.escape(str(error))}</p>")
            continue
        page.append(figure.to_html(full_html=False, include_plotlyjs=not has_library))
        has_library = True
    with atomic_write(path) as file:
        file.write("\n".join([*page, "</body></html>\n"]).encode())


def learning_curves(study: optuna.Study) -> go.Figure:
    """Validation loss by epoch, with a line for each trial; lines of pruned trials are paler."""
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


def _plots(study: optuna.Study) -> dict[str, Callable[[], go.Figure]]:
    has_two = len(study.directions) == 2
    loss: dict[str, Any] = dict(target_name=LOSS)
    if has_two:  # with one objective, Optuna knows that less is better, and draws the best so far
        loss["target"] = lambda trial: trial.values[0]
    plots: dict[str, Callable[[], go.Figure]] = {
        "Optimization history": lambda: plot_optimization_history(study, **loss),
        "Learning curves": lambda: learning_curves(study),
        "Importance of each hyperparameter": lambda: plot_param_importances(study, **loss),
        "Parallel coordinates": lambda: plot_parallel_coordinate(study, **loss),
    }
    if has_two:
        plots = {"Pareto front": lambda: plot_pareto_front(study, target_names=[LOSS, SECONDS]), **plots}
    return plots


def _summary(best: list[FrozenTrial]) -> str:
    if not best:
        return "No trial is complete."
    params = html.escape(searched_params(best[0]))
    return f"Lowest validation loss: {best[0].values[0]:.6g}, trial {best[0].number} ({params})."
