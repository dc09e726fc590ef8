"""Progress of a search on standard error: one live line on a terminal, else a line for each trial."""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Self

from optuna.trial import FrozenTrial
from rich.console import Console
from rich.status import Status
from rich.table import Table

from scoring.table import figure
from train.run.history import CurvePoint
from tune.study.database import option
from tune.study.folder import study_folder
from tune.study.plan import Joined
from tune.study.planned_trials import ranking
from tune.study.recorder import Summary

TABLE_ROWS = 5


class SearchDisplay:
    """The display of a search and of its trials while they train."""

    def __init__(self, *, study: str, planned: int | None, hours: float | None) -> None:
        self._console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        self._study, self._planned, self._hours = study, planned, hours
        self._started = time.monotonic()
        self._own_trials = 0
        self._standing = ""
        self._status: Status | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._status = self._console.status("starting")
            self._status.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(text, markup=False)

    def stage(self, text: str) -> None:
        """Show the present step of a trial, on a terminal alone."""
        if self._status is not None:
            self._status.update(f"{self._standing}; {text}" if self._standing else text)

    def show(self, report: CurvePoint) -> None:
        """Show a point of a trial's curves."""
        scores = [
            f" {name.removeprefix('validation/')} {value:.4g}"
            for name, value in report.figures.items()
            if name.startswith("validation/") and name != "validation/loss"
        ]
        self.stage(f"step {report.step} ({report.progress:.0%}){''.join(scores)}")

    def begin(self, number: int, summary: Summary) -> None:
        """Show that a trial of this worker begins."""
        self._stand(summary, workers=summary.counts.get("RUNNING", 0))
        self.stage(f"trial {number}")

    def end(self, number: int, what: str, summary: Summary) -> None:
        """Print how a trial of this worker ended."""
        self._own_trials += 1
        # This worker goes on, though it runs nothing right now.
        self._stand(summary, workers=summary.counts.get("RUNNING", 0) + 1)
        self.say(f"trial {number}: {what}; {self._standing}")

    def wait(self, running: int) -> None:
        """Show that only other workers have trials left."""
        self.stage(f"waiting for {running} trials of other workers")

    def results(self, joined: Joined) -> None:
        """Print the best trials, and where to go on from here."""
        study, settings = joined.study, joined.definition.search
        ranked = ranking(study)
        if not ranked:
            self.say("no trial is complete within its constraints")
            return
        self.table(joined.objectives, ranked)
        self.say(f"results: {study_folder(study.study_name)}")
        if settings.then is None:
            storage = option(joined.storage.engine.url)
            self.say(f"next: python -m tune best --study {study.study_name} {storage} then=train")

    def table(self, objectives: Sequence[str], rows: Sequence[FrozenTrial]) -> None:
        """Print the best trials with their settings."""
        table = Table(title=f"{self._study}: the best trials")
        names = list(dict.fromkeys(name for trial in rows for name in trial.params))
        for column in ("trial", *objectives, *headings(names)):
            table.add_column(column, overflow="fold")
        for trial in rows[:TABLE_ROWS]:
            settings = [_short(trial.params[name]) if name in trial.params else "-" for name in names]
            values = (figure(name, value) for name, value in zip(objectives, trial.values, strict=True))
            table.add_row(str(trial.number), *values, *settings)
        self._console.print(table)

    def _stand(self, summary: Summary, *, workers: int) -> None:
        done, running = summary.finished, summary.counts.get("RUNNING", 0)
        of = f"/{self._planned}" if self._planned is not None else ""
        parts = [f"{done}{of} trials done", f"{running} running"]
        if done:
            parts.append(f"{summary.counts.get('PRUNED', 0) / done:.0%} pruned")
        if summary.best_values:
            parts.append(f"best {describe(summary.best_values)} (trial {summary.best_number})")
        elapsed, left = time.monotonic() - self._started, None
        if self._planned is not None and self._own_trials:
            left = elapsed / self._own_trials * max(0, self._planned - done) / max(1, workers)
        elif self._hours is not None:
            left = max(0.0, 3600 * self._hours - elapsed)
        if left is not None:
            parts.append(f"about {round(left) // 60}:{round(left) % 60:02d} left")
        self._standing = ", ".join(parts)


def headings(names: Sequence[str]) -> list[str]:
    """Name settings without their sections, unless two would be called the same: narrow columns cut long names."""
    ends = [name.rpartition(".")[2] for name in names]
    return [end if ends.count(end) == 1 else name for name, end in zip(names, ends, strict=True)]


def describe(values: Mapping[str, float]) -> str:
    """Format figures with their names."""
    return " ".join(f"{name} {figure(name, value)}" for name, value in values.items())


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
