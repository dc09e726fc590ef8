"""The record of a run, as training asks for it; the entry points alone know that MLflow keeps it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol


class Recorder(Protocol):
    """The record of one run."""

    @property
    def run_id(self) -> str | None:
        """The record's id, which goes into the bundle; None where nothing is kept."""

    @property
    def tracking_uri(self) -> str:
        """The place of the record."""

    def log_corpora(self, corpora: Sequence[Mapping[str, str]]) -> None:
        """Log the data sets of the run; what is logged already is not logged twice.

        Each has a ``name`` (corpus/split), a ``digest`` (eight hexadecimal digits, as in the labels of scores), a
        ``source`` (JSON of the section ``data`` of the configuration) and a ``context``: train, validation or test.
        """

    def metrics(self, values: Mapping[str, float], *, step: int, units: int) -> None:
        """Log points of curves."""

    def artifact(self, path: Path, folder: str = "") -> None:
        """Store a file of the run under ``folder``."""

    def table(self, name: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Store rows of equal keys."""

    def log_bundle(self, bundle_dir: Path) -> object:
        """Store the bundle."""

    def finish(self, status: Literal["FINISHED", "FAILED", "KILLED"]) -> None:
        """Close the record."""


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """The facts that are known of a run when it starts; ``run_id`` is set when its record is to be continued."""

    experiment: str
    run_name: str
    params: Mapping[str, object]
    tags: Mapping[str, str]
    run_id: str | None
    tracking_uri: str | None


OpenRecorder = Callable[[RunFacts], Recorder]


class Unrecorded:
    """The recorder that keeps nothing."""

    run_id: str | None = None
    tracking_uri: str = ""

    def _keep_nothing(self, *given: Any, **named: Any) -> None: ...

    log_corpora = metrics = artifact = table = log_bundle = finish = _keep_nothing
