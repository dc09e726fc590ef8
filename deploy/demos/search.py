"""``make tune``: search the demo's hyperparameters, train the best ones whole, compare with the defaults.

Every step is the command a user would type; this file only runs them one after the other and shows the results.
"""

import argparse
import time
from datetime import datetime
from pathlib import Path

import yaml
from rich.console import Console

from deploy.demos.settings import load_demo
from deploy.run.commands import run_command
from dragoman.bundle.store import open_bundle
from dragoman.errors import ConfigError, run_cli
from dragoman.task_table import TASKS

SEARCHES = Path(__file__).resolve().parents[2] / "configs" / "tune"
VERDICTS = {
    0: "The tuned bundle is better than the default configuration's.",
    1: "The tuned bundle did not prove better than the default configuration's; the line above says why.",
    2: "The tuned bundle is not shown to be better than the default configuration's: the interval holds both.",
}


def main() -> int:
    """Run every step; 0 for any verdict of the comparison."""
    arguments = _parser().parse_args()
    console = Console(highlight=False)
    started = time.monotonic()
    name = load_demo(arguments.task).search
    if name is None:
        raise ConfigError(f"the section 'demo' of configs/task/{arguments.task}.yaml names no search")
    study = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    console.rule("[bold]1. Train the default configuration", align="left")
    # The same settings, the task among them, and the same full length as the best trial gets.
    search = yaml.safe_load((SEARCHES / f"{name}.yaml").read_text(encoding="utf-8"))
    default = run_command(
        "-m", "train", *search["settings"], *search["final"], f"run_dir=runs/{study}-default"
    )  # fmt: skip
    console.rule(f"[bold]2. Search: {arguments.trials} trials, then train the best settings whole", align="left")
    searched = run_command(
        "-m", "tune", f"search={name}", f"study={study}", f"trials={arguments.trials}", "then=train",
    )  # fmt: skip
    console.rule("[bold]3. Compare both on held-out items", align="left")
    tuned = open_bundle(searched.value("bundle"))
    compared = run_command(
        "-m", "model_registry", "compare", str(tuned.path), default.value("bundle"), "--mode", "superiority",
        accepted=tuple(VERDICTS),
    )  # fmt: skip
    console.print(f"\n{VERDICTS[compared.status]}")
    console.print(
        f"The study: make dashboard (Optuna) and make mlflow-ui (MLflow), pictures in runs/tune/{study}.\n"
        f"To put the tuned bundle through the gate: make promote NAME={tuned.manifest.name} VERSION=candidate\n"
        f"All of it took {time.monotonic() - started:.0f} seconds."
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.demos.search",
        description="Search the demo's hyperparameters on built-in data and compare the result with the defaults.",
    )
    parser.add_argument("--task", choices=sorted(TASKS), default=next(iter(TASKS)), help="(default: %(default)s)")
    parser.add_argument("--trials", type=int, default=12, help="trials of the search (default: %(default)s)")
    return parser


if __name__ == "__main__":
    run_cli(main)
