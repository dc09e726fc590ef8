"""The results of a study to look at: Optuna's pictures, and its trials as a table."""

import csv
import io
import json
import logging
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from dragoman import atomic
from tune.study.planned_trials import ERROR, planned_number

log = logging.getLogger(__name__)
# Importance and slices say nothing about a single trial.
LEAST_COMPLETE = 2


def draw(study: Study, folder: Path, objectives: Sequence[str]) -> list[Path]:
    """Write every picture that the study has trials enough for, and its table; returns the files."""
    import matplotlib

    matplotlib.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    files = [write_table(study, folder / "trials.csv", objectives)]
    if len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) < LEAST_COMPLETE:
        return files
    for name, plot in _plots(study, objectives).items():
        if drawn := _draw(plot, folder / f"{name}.png"):
            files.append(drawn)
    return files


def write_table(study: Study, path: Path, objectives: Sequence[str]) -> Path:
    """Write a row for each attempt: its planned trial, state, values and settings."""
    trials = study.get_trials(deepcopy=False)
    names = sorted({name for trial in trials for name in trial.params})
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["number", "planned", "state", *objectives, "started", "ended", "error", *names])
    for trial in trials:
        # The value of a pruned trial is its last report, which must not be taken for a result.
        values = trial.values if trial.state == TrialState.COMPLETE else [""] * len(objectives)
        times = ["" if time is None else time.isoformat() for time in (trial.datetime_start, trial.datetime_complete)]
        settings = [json.dumps(trial.params[name]) if name in trial.params else "" for name in names]
        error = trial.user_attrs.get(ERROR, "")
        table.writerow([trial.number, planned_number(trial), trial.state.name, *values, *times, error, *settings])
    atomic.write_text(path, text.getvalue())
    return path


def _plots(study: Study, objectives: Sequence[str]) -> dict[str, Callable[[], Any]]:
    from optuna.visualization import matplotlib as plots

    of_objective: dict[str, Callable[..., Any]] = {
        "optimization_history": plots.plot_optimization_history,
        "param_importances": plots.plot_param_importances,
        "slice": plots.plot_slice,
    }
    if len(objectives) == 1:
        name = objectives[0]
        drawn: dict[str, Callable[[], Any]] = {
            kind: partial(plot, study, target_name=name) for kind, plot in of_objective.items()
        }
        if any(trial.intermediate_values for trial in study.trials):
            drawn["intermediate_values"] = partial(plots.plot_intermediate_values, study)
        return drawn
    found: dict[str, Callable[[], Any]] = {
        "pareto_front": partial(plots.plot_pareto_front, study, target_names=list(objectives))
    }
    for index, name in enumerate(objectives):
        for kind, plot in of_objective.items():
            found[f"{kind}_{name}"] = partial(plot, study, target=partial(_value, index), target_name=name)
    return found


def _value(index: int, trial: FrozenTrial) -> float:
    return float(trial.values[index])


def _draw(plot: Callable[[], Any], path: Path) -> Path | None:
    from matplotlib import pyplot

    with warnings.catch_warnings():
        # All of these plots are marked experimental, and warn of layouts that are good enough.
        warnings.simplefilter("ignore")
        try:
            plot()
            pyplot.savefig(path, dpi=120, bbox_inches="tight")
        except Exception as error:
            # Importance, for one, is undefined where all trials scored the same.
            log.warning("%s could not be drawn: %s", path.name, error)
            return None
        finally:
            pyplot.close("all")
    return path
