"""``python -m deploy.conformance``: package a bundle, serve it both ways, compare every answer with the engine's."""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deploy.conformance.compare import Difference, SentenceReport, compare_cases, compare_sentences
from deploy.conformance.corpus import load_cases
from deploy.conformance.targets import InProcess
from deploy.servers import Packaged, running_servers
from dragoman.errors import ConfigError, run_cli
from dragoman.predictor import load
from dragoman.translate_files import read_lines

SHOWN = 10


def main() -> int:
    """Run the corpus, and the sentences of a file if one is given; 1 when any answer differs."""
    arguments = _parser().parse_args()
    console = Console(highlight=False)
    bundle = Path(arguments.bundle) if arguments.bundle else _newest_bundle()
    sentences = [line for line in read_lines(arguments.sentences) if line.strip()] if arguments.sentences else []
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        # A Bento store of its own: comparing must not change which model `bentoml serve` serves.
        environment = {"BENTOML_HOME": str(Path(folder) / "bentoml")}
        packaged = _package(bundle, Path(folder), environment)
        predictor = load(bundle)
        engine = InProcess(predictor)
        try:
            with running_servers(packaged, logs=Path(folder), environment=environment, report=console.print) as servers:
                cases = load_cases(predictor.bundle.manifest.limits)
                console.print(f"{len(cases)} requests to the engine and {len(servers)} ways into the servers")
                differences = compare_cases(cases, engine, servers)
                reports = compare_sentences(sentences, engine, servers, console.print) if sentences else []
        finally:
            predictor.close()
    _show(console, differences, reports)
    found = len(differences) + sum(len(report.differences) for report in reports)
    console.print(f"{len(cases)} requests: {len(cases) - len({d.case for d in differences})} answered alike everywhere")
    return 1 if found else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.conformance",
        description="Send one corpus of good and bad requests to the engine in-process, to BentoML over HTTP and to "
        "TorchServe over REST and gRPC, and compare texts, statuses and error bodies.",
        epilog="exit codes: 0 all alike, 1 a difference, 64 wrong command line, 65 no such file, 69 a server did not "
        "start, 78 the bundle is damaged",
    )
    parser.add_argument("--bundle", help="a bundle directory (default: the newest of runs/*/bundle)")
    parser.add_argument("--sentences", metavar="FILE", help="also translate each line of this file, plain or .gz")
    return parser


def _newest_bundle() -> Path:
    bundles = sorted(Path("runs").glob("*/bundle"), key=lambda path: path.stat().st_mtime)
    if not bundles:
        raise ConfigError("there is no bundle in runs/ yet; run `make demo`, or give --bundle DIRECTORY")
    return bundles[-1]


def _package(bundle: Path, folder: Path, environment: dict[str, str]) -> Packaged:
    command = [sys.executable, "-m", "model_registry", "package", str(bundle), "--out", str(folder)]
    finished = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=False, env={**os.environ, **environment}
    )
    if finished.returncode:
        # Its message is on standard error already, and its status means the same here.
        raise SystemExit(finished.returncode)
    return Packaged.from_output(finished.stdout)


def _show(console: Console, differences: list[Difference], reports: list[SentenceReport]) -> None:
    for difference in [*differences, *(entry for report in reports for entry in report.differences[:SHOWN])]:
        console.print(f"[red]{difference.target}[/red]: {difference.case!r}: {difference.what}", markup=True)
    if reports:
        console.print(sentence_table(reports))


def sentence_table(reports: list[SentenceReport]) -> Table:
    """How many translations each way gave exactly as the engine did."""
    table = Table("way", "sentences", "identical to the engine", "ties", "different")
    for report in reports:
        counts = (report.sentences, report.identical, report.ties, len(report.differences))
        table.add_row(report.target, *map(str, counts))
    return table


if __name__ == "__main__":
    run_cli(main)
