"""Planned trials: each slot is one of them, and holds the attempts at it, of which at most one is not dead."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import cast

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from tune.study.recorder import SlotState, State, Summary
from tune.study.storage import SLOT

ERROR = "error"
"""The user attribute of a trial that failed by itself, and would fail again."""
HANDED_BACK = "handed_back"
"""The user attribute that names the attempts which ended politely; later attempts inherit it."""


def slot_of(trial: FrozenTrial) -> int:
    """The slot that a trial is an attempt at."""
    return int(trial.user_attrs[SLOT])


def by_slot(trials: Sequence[FrozenTrial]) -> dict[int, list[FrozenTrial]]:
    """The attempts at each slot, oldest first."""
    found: dict[int, list[FrozenTrial]] = {}
    for trial in sorted(trials, key=lambda trial: trial.number):
        found.setdefault(slot_of(trial), []).append(trial)
    return found


def deciding(attempts: Sequence[FrozenTrial]) -> FrozenTrial:
    """The attempt that says what became of a slot: the one that is not dead, or else the last."""
    alive = [trial for trial in attempts if trial.state != TrialState.FAIL]
    return (alive or list(attempts))[-1]


def to_retry(trials: Sequence[FrozenTrial], max_retries: int) -> list[FrozenTrial]:
    """The dead attempts that another has to follow; those that were handed back use up no retries."""
    found = []
    for attempts in by_slot(trials).values():
        last = deciding(attempts)
        died = len(attempts) - len(last.user_attrs.get(HANDED_BACK, []))
        if last.state == TrialState.FAIL and ERROR not in last.user_attrs and died <= max_retries:
            found.append(last)
    return found


def states(trials: Sequence[FrozenTrial], objectives: Sequence[str]) -> dict[int, SlotState]:
    """What became of every slot."""
    return {slot: _state(slot, attempts, objectives) for slot, attempts in by_slot(trials).items()}


def _state(slot: int, attempts: Sequence[FrozenTrial], objectives: Sequence[str]) -> SlotState:
    trial = deciding(attempts)
    complete = trial.state == TrialState.COMPLETE
    return SlotState(
        slot=slot,
        number=trial.number,
        state=cast(State, trial.state.name),
        retries=len(attempts) - 1,
        values=dict(zip(objectives, trial.values, strict=True)) if complete else {},
        error=trial.user_attrs.get(ERROR),
    )


def feasible(trial: FrozenTrial) -> bool:
    """Whether a complete trial keeps every limit."""
    return trial.state == TrialState.COMPLETE and all(value <= 0 for value in trial.constraints.values())


def best_trials(study: Study) -> list[FrozenTrial]:
    """The best trial or, with two objectives, the Pareto front, best first; none if none is feasible."""
    sign = 1 if study.directions[0].name == "MAXIMIZE" else -1
    if len(study.directions) > 1:
        front = [trial for trial in study.best_trials if feasible(trial)]
        return sorted(front, key=lambda trial: -sign * trial.values[0])
    candidates = [trial for trial in study.get_trials(deepcopy=False) if feasible(trial)]
    return [max(candidates, key=lambda trial: sign * trial.values[0])] if candidates else []


def summary(study: Study, objectives: Sequence[str]) -> Summary:
    """How a study stands."""
    found = states(study.get_trials(deepcopy=False), objectives)
    best = best_trials(study)
    counts: Mapping[str, int] = Counter(state.state for state in found.values())
    return Summary(
        counts=counts,
        best_number=best[0].number if best else None,
        best_values=dict(zip(objectives, best[0].values, strict=True)) if best else {},
    )
