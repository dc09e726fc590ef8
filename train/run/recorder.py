"""What training asks of whoever keeps the record of a run; ``train.__main__`` alone knows that it is MLflow."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol


class Recorder(Protocol):
    """The record of one run."""

    @property
    def run_id(self) -> str | None:
        """The id it has there, which goes into the bundle; None where nothing is kept."""
        ...

    @property
    def tracking_uri(self) -> str:
        """Where the record is."""
        ...

    def metrics(self, values: Mapping[str, float], *, step: int, units: int) -> None:
        """Points of curves."""
        ...

    def artifact(self, path: Path, folder: str = "") -> None:
        """A file of the run, kept under ``folder``."""
        ...

    def table(self, name: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Rows of equal keys."""
        ...

    def log_bundle(self, bundle_dir: Path) -> object:
        """The result."""
        ...

    def finish(self, status: Literal["FINISHED", "FAILED", "KILLED"]) -> None:
        """The end."""
        ...


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What is known of a run when it starts; ``run_id`` is set when its record is to be continued."""

    name: str
    params: Mapping[str, object]
    tags: Mapping[str, str]
    run_id: str | None
    tracking_uri: str | None


OpenRecorder = Callable[[RunFacts], Recorder]


class Unrecorded:
    """Keeps no record."""

    run_id: str | None = None
    tracking_uri: str = ""

    def metrics(self, values: Mapping[str, float], *, step: int, units: int) -> None:
        """Keep no points."""

    def artifact(self, path: Path, folder: str = "") -> None:
        """Keep no file."""

    def table(self, name: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Keep no rows."""

    def log_bundle(self, bundle_dir: Path) -> None:
        """Keep no bundle."""

    def finish(self, status: Literal["FINISHED", "FAILED", "KILLED"]) -> None:
        """Close nothing."""
