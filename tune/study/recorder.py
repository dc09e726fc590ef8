"""The interface to the record of a study; ``tune.__main__`` alone knows that it is MLflow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from train.run.recorder import Recorder, Unrecorded

State = Literal["WAITING", "RUNNING", "COMPLETE", "PRUNED", "FAIL"]


@dataclass(frozen=True, kw_only=True)
class PlannedTrial:
    """The state of a planned trial; ``number`` is its deciding attempt's, ``values`` are a complete trial's."""

    number: int
    state: State
    retries: int
    values: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The state of a study: planned trials by state, and the best of them."""

    counts: Mapping[str, int]
    best_number: int | None
    best_values: Mapping[str, float]

    @property
    def finished(self) -> int:
        """The number of trials that have ended."""
        return sum(count for state, count in self.counts.items() if state not in ("WAITING", "RUNNING"))


class TrialRecorder(Recorder, Protocol):
    """The record of one trial."""

    def abandon(self) -> None:
        """Stop writing, and leave the record as it is: the trial is somebody else's."""


class StudyRecord(Protocol):
    """The record of a study; planned trials are known by their numbers."""

    def open_study(self, *, name: str, token: str, facts: Mapping[str, object]) -> str | None:
        """Find or create the record of the study with this unique token, and mark it running; returns its id."""

    def open_trial(self, *, planned: int, number: int, retries: int, params: Mapping[str, object]) -> TrialRecorder:
        """Find or create the record of a planned trial, and continue it."""

    def settle(self, trials: Mapping[int, PlannedTrial]) -> None:
        """Make the records of planned trials agree with the storage."""

    def running(self) -> set[int]:
        """Return the planned trials whose record is marked as being written."""

    def summarize(self, summary: Summary) -> None:
        """Record the state of the study."""

    def finish(self, *, waiting: int, files: Sequence[Path]) -> None:
        """Store the results and close the record; with ``waiting`` trials left it can be continued."""


class UnrecordedTrial(Unrecorded):
    """The recorder of a trial that keeps nothing."""

    abandon = Unrecorded._keep_nothing


class UnrecordedStudy:
    """The record that keeps nothing."""

    def _keep_nothing(self, *given: Any, **named: Any) -> None: ...

    open_study = settle = summarize = finish = _keep_nothing

    def open_trial(self, *, planned: int, number: int, retries: int, params: Mapping[str, object]) -> TrialRecorder:
        """Return a recorder that keeps nothing."""
        return UnrecordedTrial()

    def running(self) -> set[int]:
        """Return no trials."""
        return set()
