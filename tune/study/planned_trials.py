"""Planned trials and the attempts at them.

A planned trial has a number from 0. An attempt at it is a trial of Optuna's; when one dies the next is planned, so that
of all attempts at one planned trial at most one is not FAIL, and that one says what became of it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import cast

from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from tune.study.recorder import PlannedTrial, State, Summary
from tune.study.storage import PLANNED

ERROR = "error"
"""The user attribute of a trial that failed by itself, and would fail again."""
HANDED_BACK = "handed_back"
"""The user attribute that lists the attempts which ended politely; later attempts inherit it."""


def planned_number(trial: FrozenTrial | Trial) -> int:
    """Return the number of the planned trial that this is an attempt at."""
    return int(trial.user_attrs[PLANNED])


def attempts_by_planned(trials: Sequence[FrozenTrial]) -> dict[int, list[FrozenTrial]]:
    """Group attempts by planned trial, oldest first."""
    found: dict[int, list[FrozenTrial]] = {}
    for trial in sorted(trials, key=lambda trial: trial.number):
        found.setdefault(planned_number(trial), []).append(trial)
    return found


def _deciding(attempts: Sequence[FrozenTrial]) -> FrozenTrial:
    alive = [trial for trial in attempts if trial.state != TrialState.FAIL]
    return (alive or list(attempts))[-1]


def to_retry(trials: Sequence[FrozenTrial], max_retries: int) -> list[FrozenTrial]:
    """Return the dead attempts that another has to follow; those that were handed back use up no retries."""
    found = []
    for attempts in attempts_by_planned(trials).values():
        last = _deciding(attempts)
        died = len(attempts) - len(last.user_attrs.get(HANDED_BACK, []))
        if last.state == TrialState.FAIL and ERROR not in last.user_attrs and died <= max_retries:
            found.append(last)
    return found


def planned_trials(trials: Sequence[FrozenTrial], objectives: Sequence[str]) -> dict[int, PlannedTrial]:
    """Tell what became of every planned trial."""
    found = {}
    for planned, attempts in attempts_by_planned(trials).items():
        trial = _deciding(attempts)
        complete = trial.state == TrialState.COMPLETE
        found[planned] = PlannedTrial(
            number=trial.number,
            state=cast(State, trial.state.name),
            retries=len(attempts) - 1,
            values=dict(zip(objectives, trial.values, strict=True)) if complete else {},
            error=trial.user_attrs.get(ERROR),
        )
    return found


def feasible(trial: FrozenTrial) -> bool:
    """Return whether a trial is complete and keeps every constraint."""
    return trial.state == TrialState.COMPLETE and all(value <= 0 for value in trial.constraints.values())


def ranking(study: Study) -> list[FrozenTrial]:
    """Return the feasible trials or, with two objectives, those of the Pareto front, best first by the first."""
    candidates = study.best_trials if len(study.directions) > 1 else study.get_trials(deepcopy=False)
    sign = -1 if study.directions[0].name == "MAXIMIZE" else 1
    return sorted(filter(feasible, candidates), key=lambda trial: sign * trial.values[0])


def best_trials(study: Study) -> list[FrozenTrial]:
    """Return the best trial or, with two objectives, the Pareto front; none if none is feasible."""
    ranked = ranking(study)
    return ranked if len(study.directions) > 1 else ranked[:1]


def summary(study: Study, objectives: Sequence[str]) -> Summary:
    """Count the planned trials by state, and name the best."""
    found = planned_trials(study.get_trials(deepcopy=False), objectives)
    best = best_trials(study)
    counts: Mapping[str, int] = Counter(trial.state for trial in found.values())
    return Summary(
        counts=counts,
        best_number=best[0].number if best else None,
        best_values=dict(zip(objectives, best[0].values, strict=True)) if best else {},
    )
