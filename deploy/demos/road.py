"""``make demo``: the whole road on the built-in data, from a corpus to two servers that give the same answers.

Every step is the command a user would type; this file only runs them one after the other and shows the results.
"""

import argparse
import tempfile
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from deploy.conformance.compare import compare_items, item_table
from deploy.conformance.corpus import load_corpus
from deploy.conformance.servers import InProcess, Packaged, running_servers
from deploy.demos.settings import Demo, load_demo, training_settings
from deploy.run.commands import run_command
from dragoman.bundle.manifest import Manifest
from dragoman.bundle.store import open_bundle
from dragoman.errors import ConfigError, run_cli
from dragoman.items.outcomes import Result
from dragoman.predictor import load
from dragoman.task_table import TASKS
from dragoman.tasks.base import task_class
from scoring.held_out import read_held_out

COMPARED = 200
SHOWN = 8
# Of an input or an output in the table of samples.
CELL_CHARACTERS = 160
REJECTED, UNDECIDED = 1, 2


def main() -> int:
    """Run every step; 1 when the servers disagree, or the model has not learned what it must."""
    arguments = _parser().parse_args()
    console = Console(highlight=False)
    started = time.monotonic()
    run_dir = Path("runs") / f"demo-{datetime.now():%Y%m%d-%H%M%S}"
    demo = load_demo(arguments.task)

    console.rule("[bold]1. Train a small model on built-in data", align="left")
    settings = [*training_settings(arguments.task, demo, arguments.minutes), *arguments.settings]
    bundle = open_bundle(run_command("-m", "train", *settings, f"run_dir={run_dir}").value("bundle"))
    name, task = bundle.manifest.name, task_class(bundle.manifest.task)

    console.rule("[bold]2. Register, promote and package it", align="left")
    run_command("-m", "model_registry", "register", str(run_dir))
    # An earlier demo's champion may be better and stay champion; the demo goes on with what it has just trained.
    run_command("-m", "model_registry", "promote", name, "candidate", accepted=(0, REJECTED, UNDECIDED))
    printed = run_command("-m", "model_registry", "package", str(bundle.path), "--out", "dist").output
    packaged = Packaged.from_output(printed)

    console.rule("[bold]3. Serve it with BentoML and with TorchServe, and compare", align="left")
    held_out = read_held_out(run_dir / "held_out" / "test.parquet")[:COMPARED]
    with (
        closing(load(bundle.path)) as predictor,
        tempfile.TemporaryDirectory(prefix="demo-") as logs,
        running_servers(packaged, logs=Path(logs), environment={}, report=console.print) as servers,
    ):
        items, tie = [item.input for item in held_out], load_corpus(bundle.manifest.task).tie
        reports = compare_items(items, task, tie, InProcess(predictor), servers, console.print)
        # From all over the set, which may be sorted by what its references say.
        samples = held_out[:: max(1, len(held_out) // SHOWN)][:SHOWN]
        outcomes = predictor([item.input for item in samples])

    rows = [
        task.sample(item.input, item.reference, task.output(outcome.value) if isinstance(outcome, Result) else None)
        for item, outcome in zip(samples, outcomes, strict=True)
    ]
    table = Table(*rows[0], title="Held-out items", title_justify="left")
    for row in rows:
        table.add_row(*map(cell, row.values()))
    console.print(table)
    console.print(item_table(reports))
    _show_scores(console, bundle.manifest)
    missed = shortcomings(demo, bundle.manifest)
    for sentence in missed:
        console.print(f"[red]{sentence}[/red]")

    places = Table("what", "where", show_header=False, box=None)
    places.add_row("the run", f"{run_dir} (curves.png, corpus.json, samples.json, checkpoints)")
    places.add_row("the bundle", str(bundle.path))
    places.add_row("the MLflow database", "mlflow.db; to look at it: make mlflow-ui")
    places.add_row("the TorchServe archive", str(packaged.mar))
    places.add_row("the Bento", f"{packaged.bento}; to list them: .venv/bin/bentoml list")
    places.add_row("serve with BentoML", f"make serve-bento, then POST http://127.0.0.1:3000{task.route}")
    address = f"http://127.0.0.1:8080/predictions/{name}"
    places.add_row("serve with TorchServe", f"make serve-torchserve, then POST {address}")
    console.print(places)
    console.print(f"\nAll of it took {time.monotonic() - started:.0f} seconds.")
    return 1 if missed or any(report.differences for report in reports) else 0


def cell(value: Any) -> str:
    """Make the text of a table's cell: one line, cut where it is long."""
    text = f"{value:.4g}" if isinstance(value, float) else " ".join(str(value).split())
    return text if len(text) <= CELL_CHARACTERS else f"{text[: CELL_CHARACTERS - 1]}…"


def _show_scores(console: Console, manifest: Manifest) -> None:
    """Show the scores whole, since a signature that is cut short is none, and below each those of the baselines."""
    for score in manifest.with_baselines():
        figures = f"{score.value:.1f} ({score.low:.1f} to {score.high:.1f})"
        if score in manifest.baselines:
            console.print(f"    {score.engine}: {figures}")
        else:
            console.print(
                f"{score.metric} {figures} on {score.items} items of {score.test_set}, {score.signature}",
                soft_wrap=True,
            )


def shortcomings(demo: Demo, manifest: Manifest) -> list[str]:
    """Say what the model has not learned: the score that the demo asks for, or more than the simplest baseline knows.

    Raises ConfigError where the bundle lacks the score.
    """
    reached = [score for score in manifest.scores if score.metric == demo.metric]
    if not reached:
        raise ConfigError(f"the bundle has no score {demo.metric!r}, which the section 'demo' of its task names")
    # The test set's score comes first, and the simplest baseline.
    score, found = reached[0], []
    if not demo.has_learned(score.value):
        found.append(f"{demo.metric} is {score.value:.1f}, and the demo must reach {demo.reaches:g}")
    place = (score.test_set, score.metric)
    baseline = next((other for other in manifest.baselines if (other.test_set, other.metric) == place), None)
    if baseline is not None and not demo.is_better(score.value, baseline.value):
        found.append(
            f"{demo.metric} is {score.value:.1f}, no better than the {baseline.value:.1f} of {baseline.engine}"
        )
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.demos.road",
        description="Train on built-in data, register, promote, package, serve both ways, compare.",
        epilog="exit codes: 0 all well, 1 a step failed, the servers disagree or the model has not learned what "
        "configs/task/<task>.yaml asks of the demo",
    )
    parser.add_argument("--task", choices=sorted(TASKS), default=next(iter(TASKS)), help="(default: %(default)s)")
    parser.add_argument("--minutes", type=float, help="minutes of training (default: as configs/task/<task>.yaml says)")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="further settings of python -m train")
    return parser


if __name__ == "__main__":
    run_cli(main)
