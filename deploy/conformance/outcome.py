"""The whole comparison of running servers with the engine, and how it is shown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deploy.conformance.compare import Difference, SentenceReport, compare_cases, compare_sentences
from deploy.conformance.corpus import load_cases
from deploy.conformance.targets import InProcess, Target
from dragoman.predictor import load

SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Conformance:
    """What came of the requests of the corpus, and of single sentences."""

    cases: int
    differences: Sequence[Difference]
    sentences: Sequence[SentenceReport]

    @property
    def alike(self) -> int:
        """The requests of the corpus that were answered alike everywhere."""
        return self.cases - len({difference.case for difference in self.differences})

    @property
    def is_complete(self) -> bool:
        """Whether nothing differs."""
        return not self.differences and not any(report.differences for report in self.sentences)

    def show(self, console: Console) -> None:
        """Print every difference, as far as there is room, and the counts."""
        listed = [entry for report in self.sentences for entry in report.differences[:SHOWN]]
        for difference in [*self.differences, *listed]:
            console.print(f"[red]{difference.target}[/red]: {difference.case!r}: {difference.what}", markup=True)
        if self.sentences:
            console.print(sentence_table(self.sentences))
        console.print(f"{self.cases} requests: {self.alike} answered alike everywhere")


def compare(
    bundle: Path, servers: Sequence[Target], sentences: Sequence[str], report: Callable[[str], None]
) -> Conformance:
    """Ask the engine and servers that run over the same bundle for all of the corpus, and for single sentences."""
    predictor = load(bundle)
    engine = InProcess(predictor)
    try:
        cases = load_cases(predictor.bundle.manifest.limits)
        report(f"{len(cases)} requests to the engine and {len(servers)} ways into the servers")
        differences = compare_cases(cases, engine, servers)
        reports = compare_sentences(sentences, engine, servers, report) if sentences else []
    finally:
        predictor.close()
    return Conformance(cases=len(cases), differences=differences, sentences=reports)


def sentence_table(reports: Sequence[SentenceReport]) -> Table:
    """How many translations each way gave exactly as the engine did."""
    table = Table("way", "sentences", "identical to the engine", "ties", "different")
    for report in reports:
        counts = (report.sentences, report.identical, report.ties, len(report.differences))
        table.add_row(report.target, *map(str, counts))
    return table
