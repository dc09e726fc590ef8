"""The text of ``python -m tune --help``, written from the settings themselves, so that it cannot lag behind them."""

import typing
from collections.abc import Iterator
from typing import Any

from dragoman.strict import Setting, describe, describe_range
from train.config.compose import CONFIG_DIR, choices
from tune.search.settings import MEASURED, PRUNERS, SamplerSettings, SearchSettings
from tune.search.space import KINDS

INTRODUCTION = """\
Searches for good settings of python -m train: many short trials, then one full-length training with the best settings.

  python -m tune                                           the search that the task starts with
  python -m tune then=train                                … then a bundle, registered as candidate
  python -m tune search=NAME storage=postgresql://tuner:secret@db/optuna
                                                           the same on every machine: each joins the study and helps
  python -m tune study=mine trials=30 train.seed=3         key=value of python -m train holds for all trainings
  python -m tune trial=[train.max_units=500000] final=[train.max_minutes=5]         … for trials, or the final one
  python -m tune space.train.lr.high=0.02 space.train.clip_norm='{kind: float, low: 0.5, high: 2}'
  python -m tune search=quality_and_latency                two objectives: a Pareto front
  python -m tune best --study mine                         the best trial as a command line of python -m train
  python -m tune best --study mine then=train which=7      trains trial 7 at full length and registers it
  optuna-dashboard sqlite:///optuna.db                     the study in a browser

A search is a file of configs/tune/. A worker that is stopped (SIGTERM, Ctrl-C) hands its trial back; one that is killed
is found by its missing heartbeats; either trial resumes from its last checkpoint, if it can be reached. SQLite is for
one worker; use PostgreSQL for several, and never MLflow's database. Results: runs/tune/STUDY/ and MLflow.
Exit status: 0 done, 64 wrong setting, 65 wrong data, 69 storage, hub or tracking server out of reach, 70 three trials
in a row failed, 73 cannot write, 78 the new bundle waits for a signature, 130 or 143 stopped by a signal.
"""


def help_text() -> str:
    """Write the introduction, the searches there are, and every setting with its meaning."""
    lines = [INTRODUCTION, f"Searches: search={'|'.join(choices('tune', CONFIG_DIR))}", "", "Settings of a search:"]
    lines += _rows(SearchSettings, "", skip=("sampler", "pruner"))
    lines += [f"  {'constraints.NAME':<36} greatest value of {' or '.join(MEASURED)} that a trial may have"]
    lines += _rows(SamplerSettings, "sampler.")
    for kind, settings in PRUNERS.items():
        lines += ["", f"Settings of pruner.kind={kind}: {(settings.__doc__ or '').strip()}"]
        lines += _rows(settings, "pruner.", skip=("kind",))
    lines += ["", "Settings of a parameter of the space (space.NAME.SETTING), by its kind:"]
    for kind, parameter in KINDS.items():
        lines += _rows(parameter, f"{kind} ", skip=("kind", "when"))
    lines += [f"  {'when':<36} settings that must have one of these values, or the parameter does not count"]
    return "\n".join(lines)


def _rows(settings: type, where: str, skip: tuple[str, ...] = ()) -> Iterator[str]:
    for name, hint in typing.get_type_hints(settings, include_extras=True).items():
        if name not in skip:
            yield f"  {where + name:<36} {_meaning(hint)}"


def _meaning(hint: Any) -> str:
    for note in typing.get_args(hint)[1:]:
        if isinstance(note, Setting):
            bounded = note.minimum is not None or note.maximum is not None
            return f"{note.help}; {describe(hint)}{f', {describe_range(note)}' if bounded else ''}"
    return describe(hint)
