"""What a search asks of whoever keeps its record; ``tune.__main__`` alone knows that it is MLflow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from train.run.recorder import Recorder, Unrecorded

State = Literal["WAITING", "RUNNING", "COMPLETE", "PRUNED", "FAIL"]


@dataclass(frozen=True, kw_only=True)
class SlotState:
    """What became of one planned trial; ``values`` holds the objectives by name, of complete trials alone."""

    slot: int
    number: int
    state: State
    retries: int
    values: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """How a study stands: how many of its trials are in which state, and the best of them."""

    counts: Mapping[str, int]
    best_number: int | None
    best_values: Mapping[str, float]

    @property
    def finished(self) -> int:
        """Trials that have ended."""
        return sum(count for state, count in self.counts.items() if state not in ("WAITING", "RUNNING"))


class TrialRecorder(Recorder, Protocol):
    """The record of one trial."""

    def abandon(self) -> None:
        """Stop writing, and leave the record as it is: the trial is somebody else's."""
        ...


class StudyRecord(Protocol):
    """The record of a study."""

    def open_study(self, *, name: str, token: str, facts: Mapping[str, object]) -> str | None:
        """Find or make the record of the study with this unique token, and mark it running; returns its id."""
        ...

    def open_trial(self, *, slot: int, number: int, retries: int, params: Mapping[str, object]) -> TrialRecorder:
        """Find or make the record of a planned trial, and go on writing it."""
        ...

    def settle(self, states: Mapping[int, SlotState]) -> None:
        """Make the records of the trials say what the storage says of them, by slot."""
        ...

    def running(self) -> set[int]:
        """The slots whose record says that it is being written."""
        ...

    def summarize(self, summary: Summary) -> None:
        """Note how the study stands."""
        ...

    def finish(self, *, waiting: int, files: Sequence[Path]) -> None:
        """Store the results and close the record; with ``waiting`` trials left it can be taken up again."""
        ...


class UnrecordedTrial(Unrecorded):
    """Keeps no record."""

    def abandon(self) -> None:
        """Nothing to stop."""


class UnrecordedStudy:
    """Keeps no record."""

    def open_study(self, *, name: str, token: str, facts: Mapping[str, object]) -> str | None:
        """Nothing to find."""
        return None

    def open_trial(self, *, slot: int, number: int, retries: int, params: Mapping[str, object]) -> TrialRecorder:
        """A recorder that forgets."""
        return UnrecordedTrial()

    def settle(self, states: Mapping[int, SlotState]) -> None:
        """Forget it."""

    def running(self) -> set[int]:
        """None."""
        return set()

    def summarize(self, summary: Summary) -> None:
        """Forget it."""

    def finish(self, *, waiting: int, files: Sequence[Path]) -> None:
        """Forget it."""
