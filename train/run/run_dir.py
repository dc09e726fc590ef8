"""The directory of one run, and the rules for starting and resuming in it.

::

    config.yaml           the resolved configuration
    corpus.json           the corpus report and fingerprint
    assets/               what a resumed run needs to make the same model, such as a vocabulary
    checkpoints/step-…/   see train.checkpoint
    history.jsonl         the curves, one point a line
    mlflow.json           the run's id and tracking URI, and whether the record there is complete
    figures.json          what the task found when it fitted something to the chosen weights, if it did
    curves.png            loss, learning rate and the figures of validations
    samples.json          outputs for a few test items
    outputs/<set>.tsv     those for every held-out set, as the task shows them, separated by tabs
    pictures/…png         pictures that the task draws of them, if it does
    held_out/<set>.parquet the held-out sets themselves (scoring.held_out)
    bundle/               the result, written last
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dragoman import atomic
from dragoman.errors import ConfigError, DataError, OutputError
from scoring.held_out import FOLDER
from scoring.held_out import write_held_out as write_held_out_set
from train.data.corpus import Splits, held_out_items

RUNS = Path("runs")


class RunDir:
    """The paths of a run, as the module's docstring describes them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config, self.corpus, self.assets = path / "config.yaml", path / "corpus.json", path / "assets"
        self.checkpoints, self.history, self.mlflow = path / "checkpoints", path / "history.jsonl", path / "mlflow.json"
        self.figures, self.pictures = path / "figures.json", path / "pictures"
        self.curves, self.samples = path / "curves.png", path / "samples.json"
        self.outputs, self.held_out, self.bundle = path / "outputs", path / FOLDER, path / "bundle"


def new_run_dir(asked: str | None, label: str) -> RunDir:
    """Choose the directory of a new run: the one asked for, or a new name under ``runs/``; nothing is created yet.

    Raises ConfigError when it is taken and OutputError when it cannot be written.
    """
    path = Path(asked) if asked is not None else _free_name(label)
    if (path / "config.yaml").exists():
        raise ConfigError(f"{path} holds a run already; go on with resume={path}, or choose another run_dir")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigError(f"{path} exists and is not an empty directory; choose another run_dir")
    existing = next(parent for parent in [path, *path.absolute().parents] if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {path}: {existing} is not a writable directory; choose another run_dir")
    return RunDir(path)


def create(run: RunDir, *, config_yaml: str, corpus: Mapping[str, object], assets: Mapping[str, bytes]) -> None:
    """Make the directory with what the run starts from, whole or not at all."""
    if run.path.is_dir():
        run.path.rmdir()  # it is empty, see new_run_dir
    with atomic.directory(run.path) as folder:
        beginning = RunDir(folder)
        beginning.config.write_text(config_yaml, encoding="utf-8")
        beginning.corpus.write_text(atomic.to_json(corpus), encoding="utf-8")
        beginning.assets.mkdir()
        for name, data in assets.items():
            (beginning.assets / name).write_bytes(data)


def read_corpus_report(run: RunDir) -> dict[str, Any]:
    """Read the report of the corpus that a run was started with, its fingerprint included; raises DataError."""
    try:
        found: dict[str, Any] = json.loads(run.corpus.read_text(encoding="utf-8"))
        found["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"cannot read {run.corpus}: {error}; start the run again with another run_dir") from error
    return found


def check_corpus(run: RunDir, fingerprint: str) -> None:
    """Raise DataError when a run that is resumed would go on with another corpus."""
    expected = read_corpus_report(run)["fingerprint"]
    if fingerprint != expected:
        raise DataError(
            f"the corpus has changed since {run.path} was started: fingerprint {fingerprint}, expected {expected}; "
            "restore the data, or start a new run"
        )


def write_outputs(run: RunDir, outputs: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Write the outputs for each held-out set as a table without a header, separated by tabs."""
    run.outputs.mkdir(exist_ok=True)
    for name, rows in outputs.items():
        lines = ("\t".join(" ".join(_text(cell).split()) for cell in row.values()) + "\n" for row in rows)
        atomic.write_text(run.outputs / f"{name}.tsv", "".join(lines))


def write_held_out(run: RunDir, splits: Splits) -> None:
    """Write the validation set and every test set, so that this model can be judged on them later."""
    run.held_out.mkdir(exist_ok=True)
    for name, examples in splits.held_out():
        write_held_out_set(run.held_out / f"{name}.parquet", held_out_items(examples))


def write_figures(run: RunDir, figures: Mapping[str, float]) -> None:
    """Write the figures of what a task fitted to the chosen weights; nothing where there are none."""
    if figures:
        atomic.write_json(run.figures, dict(figures))


def read_figures(run: RunDir) -> dict[str, float]:
    """Read the figures of what a task fitted to the chosen weights."""
    found: dict[str, float] = json.loads(run.figures.read_text(encoding="utf-8")) if run.figures.exists() else {}
    return found


def write_pictures(run: RunDir, pictures: Mapping[str, bytes]) -> None:
    """Write a task's pictures of its outputs."""
    for name, data in pictures.items():
        run.pictures.mkdir(exist_ok=True)
        atomic.write_bytes(run.pictures / name, data)


def write_samples(run: RunDir, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the table of samples, in which every cell is text."""
    atomic.write_json(run.samples, [{name: _text(cell) for name, cell in row.items()} for row in rows])


def remove_unfinished(run: RunDir) -> None:
    """Remove what a killed process left of a bundle that it was writing."""
    for remains in run.path.glob(f".{run.bundle.name}.*"):
        shutil.rmtree(remains, ignore_errors=True)


def _text(cell: Any) -> str:
    """Show an input, a reference or an output of any task; nothing where there is none."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bytes):
        return f"{len(cell)} bytes"
    return "" if cell is None else json.dumps(cell, ensure_ascii=False)


def _free_name(label: str) -> Path:
    stem = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{label}"
    names = (RUNS / (stem if number == 1 else f"{stem}-{number}") for number in range(1, 1000))
    return next(path for path in names if not path.exists())
