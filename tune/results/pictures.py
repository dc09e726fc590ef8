"""What a study leaves to look at: Optuna's pictures, and its trials as a table."""

import csv
import io
import json
import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from dragoman import atomic
from tune.study.slots import ERROR, slot_of

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
    """Every attempt at every trial: a row of its slot, state, values and settings."""
    trials = study.get_trials(deepcopy=False)
    names = sorted({name for trial in trials for name in trial.params})
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["number", "slot", "state", *objectives, "started", "ended", "error", *names])
    for trial in trials:
        table.writerow(_row(trial, objectives, names))
    atomic.write_text(path, text.getvalue())
    return path


def _row(trial: FrozenTrial, objectives: Sequence[str], names: Sequence[str]) -> list[object]:
    # The value of a pruned trial is its last report, which must not be taken for a result.
    values = trial.values if trial.state == TrialState.COMPLETE else [""] * len(objectives)
    times = ["" if time is None else time.isoformat() for time in (trial.datetime_start, trial.datetime_complete)]
    settings = [json.dumps(trial.params[name]) if name in trial.params else "" for name in names]
    return [
        trial.number,
        slot_of(trial),
        trial.state.name,
        *values,
        *times,
        trial.user_attrs.get(ERROR, ""),
        *settings,
    ]


def _plots(study: Study, objectives: Sequence[str]) -> dict[str, Callable[[], Any]]:
    from optuna.visualization import matplotlib as plots

    if len(objectives) > 1:
        names = list(objectives)
        return {
            "pareto_front": lambda: plots.plot_pareto_front(study, target_names=names),
            **{
                f"{kind}_{name}": _of_one(plot, study, index, name)
                for index, name in enumerate(names)
                for kind, plot in (
                    ("optimization_history", plots.plot_optimization_history),
                    ("param_importances", plots.plot_param_importances),
                    ("slice", plots.plot_slice),
                )
            },
        }
    name = objectives[0]
    return {
        "optimization_history": lambda: plots.plot_optimization_history(study, target_name=name),
        "param_importances": lambda: plots.plot_param_importances(study, target_name=name),
        "slice": lambda: plots.plot_slice(study, target_name=name),
        "intermediate_values": lambda: plots.plot_intermediate_values(study),
    }


def _of_one(plot: Callable[..., Any], study: Study, index: int, name: str) -> Callable[[], Any]:
    return lambda: plot(study, target=lambda trial: trial.values[index], target_name=name)


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
