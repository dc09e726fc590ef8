"""How much faster two workers search than one: ``python -m benchmarks.studies.tune_parallel --storage postgresql://…``.

Both studies have the same trials, equal but for their seed, and each worker computes with one thread. The clock runs
from the start of the first trial to the end of the last, so what a worker needs to start is left out.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import uuid
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Run both studies and print the figures as JSON."""
    options = _parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="dragoman-parallel-") as folder:
        seconds = {count: measure(options, count, Path(folder)) for count in (1, options.workers)}
    alone, together = seconds[1], seconds[options.workers]
    figures = {
        "trials": options.trials,
        "units_per_trial": options.units,
        "workers": options.workers,
        "seconds_alone": round(alone, 1),
        "seconds_together": round(together, 1),
        "efficiency": round(alone / (options.workers * together), 3),
        "cores": os.cpu_count(),
    }
    print(json.dumps(figures, indent=2))


def measure(options: argparse.Namespace, workers: int, folder: Path) -> float:
    """Seconds from the first start to the last end of a study's trials."""
    study = f"parallel-{workers}-{uuid.uuid4().hex[:8]}"
    command = [sys.executable, "-m", "tune", *search(options, study)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    processes = [subprocess.Popen(command, cwd=folder, env=environment) for _ in range(workers)]
    statuses = [process.wait() for process in processes]
    if any(statuses):
        raise SystemExit(f"a worker of {study} failed; what it said stands above")
    with (folder / "runs" / "tune" / study / "trials.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["COMPLETE"] * options.trials
    started = min(datetime.fromisoformat(row["started"]) for row in rows)
    ended = max(datetime.fromisoformat(row["ended"]) for row in rows)
    return (ended - started).total_seconds()


def search(options: argparse.Namespace, study: str) -> list[str]:
    """A study whose trials all cost the same."""
    return [
        f"storage={options.storage}",
        f"study={study}",
        f"trials={options.trials}",
        "settings=[]",
        f"trial=[train.max_units={options.units}]",
        f"report_every_units={options.units // 4}",
        "space={train.seed: {kind: int, low: 1, high: 1000}}",
        "sampler.kind=random",
        "pruner.kind=none",
        "data.size=5000",
        "train.patience=null",
        "train.threads=1",
        "train.device=cpu",
        "tracking.enabled=false",
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storage", required=True, help="an empty PostgreSQL database")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--units", type=int, default=40_000, help="of one trial: tokens or items, as the task counts")
    parser.add_argument("--workers", type=int, default=2)
    return parser


if __name__ == "__main__":
    main()
