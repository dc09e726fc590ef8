"""``make demo``: the whole road on the built-in data, from a corpus to two servers that give the same answers.

Every step is the command a user would type; this file only runs them one after the other and shows what came of it.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deploy.commands import run_command
from deploy.conformance.compare import SentenceReport, compare_sentences
from deploy.conformance.outcome import sentence_table
from deploy.conformance.targets import InProcess
from deploy.servers import Packaged, running_servers
from dragoman.bundle import Bundle, open_bundle
from dragoman.errors import run_cli
from dragoman.predictor import Result, load

COMPARED = 200
SHOWN = 8
REJECTED, UNDECIDED = 1, 2


def main() -> int:
    """Run every step; 1 when the servers disagree."""
    arguments = _parser().parse_args()
    console = Console(highlight=False)
    started = time.monotonic()
    run_dir = Path("runs") / f"demo-{datetime.now():%Y%m%d-%H%M%S}"
    bundle = _train(console, run_dir, arguments.minutes, arguments.settings)
    packaged = _register_and_package(console, run_dir, bundle)
    console.rule("[bold]3. Serve it with BentoML and with TorchServe, and compare", align="left")
    pairs = _held_out(run_dir)
    reports = _serve_and_compare(console, bundle, packaged, [source for source, _ in pairs])
    _show_samples(console, bundle, pairs[:SHOWN])
    console.print(sentence_table(reports))
    _show_scores(console, bundle)
    _show_places(console, bundle, run_dir, packaged)
    console.print(f"\nAll of it took {time.monotonic() - started:.0f} seconds.")
    return 1 if any(report.differences for report in reports) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.demo",
        description="Train on the built-in phrasebook, register, promote, package, serve both ways, compare.",
    )
    parser.add_argument("--minutes", type=float, default=2.5, help="minutes of training (default: %(default)s)")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="further settings of python -m train")
    return parser


def _train(console: Console, run_dir: Path, minutes: float, settings: Sequence[str]) -> Bundle:
    console.rule(f"[bold]1. Train a tiny T5 on the built-in phrasebook, {minutes:g} minutes", align="left")
    trained = run_command(
        "-m",
        "train",
        "data=phrasebook",
        "model=t5_tiny",
        f"run_dir={run_dir}",
        f"train.max_minutes={minutes:g}",
        *settings,
    )
    return open_bundle(trained.value("bundle"))


def _register_and_package(console: Console, run_dir: Path, bundle: Bundle) -> Packaged:
    console.rule("[bold]2. Register, promote and package it", align="left")
    name = bundle.manifest.name
    run_command("-m", "model_registry", "register", str(run_dir))
    # An earlier demo's champion may be better and stay champion; the demo goes on with what it has just trained.
    run_command("-m", "model_registry", "promote", name, "candidate", accepted=(0, REJECTED, UNDECIDED))
    return Packaged.from_output(
        run_command("-m", "model_registry", "package", str(bundle.path), "--out", "dist").output
    )


def _held_out(run_dir: Path) -> list[tuple[str, str]]:
    """Source and reference of test sentences, which training never saw."""
    lines = (run_dir / "translations" / "test.tsv").read_text(encoding="utf-8").splitlines()[:COMPARED]
    rows = [line.split("\t") for line in lines]
    return [(source, reference) for source, reference, _ in rows]


def _serve_and_compare(
    console: Console, bundle: Bundle, packaged: Packaged, sources: Sequence[str]
) -> list[SentenceReport]:
    predictor = load(bundle.path)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="demo-") as logs,
            running_servers(packaged, logs=Path(logs), environment={}, report=console.print) as servers,
        ):
            return compare_sentences(sources, InProcess(predictor), servers, console.print)
    finally:
        predictor.close()


def _show_samples(console: Console, bundle: Bundle, pairs: Sequence[tuple[str, str]]) -> None:
    predictor = load(bundle.path)
    outcomes = predictor([source for source, _ in pairs])
    predictor.close()
    table = Table("source", "reference", "translation", title="Held-out sentences", title_justify="left")
    for (source, reference), outcome in zip(pairs, outcomes, strict=True):
        table.add_row(source, reference, outcome.value.text if isinstance(outcome, Result) else str(outcome.error))
    console.print(table)


def _show_scores(console: Console, bundle: Bundle) -> None:
    """The scores whole, since a signature that is cut short is none."""
    for score in bundle.manifest.scores:
        console.print(
            f"{score.metric} {score.value:.1f} ({score.low:.1f} to {score.high:.1f}) on {score.segments} sentences of "
            f"{score.test_set}, {score.signature}"
        )


def _show_places(console: Console, bundle: Bundle, run_dir: Path, packaged: Packaged) -> None:
    name = bundle.manifest.name
    table = Table("what", "where", show_header=False, box=None)
    for what, where in [
        ("the run", f"{run_dir} (curves.png, corpus.json, samples.json, checkpoints)"),
        ("the bundle", str(bundle.path)),
        ("the MLflow database", "mlflow.db; to look at it: make mlflow-ui"),
        ("the TorchServe archive", str(packaged.mar)),
        ("the Bento", f"{packaged.bento}; to list them: .venv/bin/bentoml list"),
        ("serve with BentoML", "make serve-bento, then POST http://127.0.0.1:3000/translate"),
        ("serve with TorchServe", f"make serve-torchserve, then POST http://127.0.0.1:8080/predictions/{name}"),
    ]:
        table.add_row(what, where)
    console.print(table)


if __name__ == "__main__":
    run_cli(main)
