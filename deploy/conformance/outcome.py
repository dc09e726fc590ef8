"""The whole comparison of running servers with the engine, and how it is shown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from deploy.conformance.compare import Difference, ItemReport, compare_cases, compare_items
from deploy.conformance.corpus import load_corpus
from deploy.conformance.targets import InProcess, Target
from dragoman.bundle.store import open_bundle
from dragoman.engines.selection import configured_engine
from dragoman.predictor import load
from dragoman.tasks.base import task_class

SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Conformance:
    """What came of the requests of the corpus, and of single items."""

    cases: int
    differences: Sequence[Difference]
    items: Sequence[ItemReport]

    @property
    def alike(self) -> int:
        """The requests of the corpus that were answered alike everywhere."""
        return self.cases - len({difference.case for difference in self.differences})

    @property
    def is_complete(self) -> bool:
        """Whether nothing differs."""
        return not self.differences and not any(report.differences for report in self.items)

    def show(self, console: Console) -> None:
        """Print every difference, as far as there is room, and the counts."""
        listed = [entry for report in self.items for entry in report.differences[:SHOWN]]
        for difference in [*self.differences, *listed]:
            console.print(f"[red]{difference.target}[/red]: {difference.case!r}: {difference.what}", markup=True)
        if self.items:
            console.print(item_table(self.items))
        console.print(f"{self.cases} requests: {self.alike} answered alike everywhere")


def compare(
    bundle: Path, servers: Sequence[Target], items: Sequence[Any], report: Callable[[str], None]
) -> Conformance:
    """Ask the engine and servers that run over the same bundle for all of the corpus, and for single items.

    The engine is the one that ``DRAGOMAN_ENGINE`` names, as it is in servers started here.
    """
    opened = open_bundle(bundle)
    task = task_class(opened.manifest.task)
    predictor = load(opened, engine=configured_engine(task.engines))
    engine = InProcess(predictor)
    try:
        corpus = load_corpus(opened.manifest.task)
        cases = corpus.cases(predictor.task.limits)
        report(f"{len(cases)} requests to the engine and {len(servers)} ways into the servers")
        opened_engine = predictor.task.engine
        is_exact = opened_engine is None or opened_engine.is_exact
        differences = compare_cases(cases, engine, servers, None if is_exact else corpus.tie)
        reports = compare_items(items, task, corpus.tie, engine, servers, report) if items else []
    finally:
        predictor.close()
    return Conformance(cases=len(cases), differences=differences, items=reports)


def item_table(reports: Sequence[ItemReport]) -> Table:
    """Show how many outputs each way gave exactly as the engine did."""
    table = Table("way", "items", "identical to the engine", "ties", "different")
    for report in reports:
        counts = (report.items, report.identical, report.ties, len(report.differences))
        table.add_row(report.target, *map(str, counts))
    return table
