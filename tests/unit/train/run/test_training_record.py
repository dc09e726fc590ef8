"""The record of a run that has its bundle: what is needed to send it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dragoman.errors import DataError
from scoring.held_out import HeldOutItem, write_held_out
from train.config.compose import compose_config
from train.run.history import append_history
from train.run.record import complete
from train.run.recorder import Recorder, RunFacts, Unrecorded
from train.run.run_dir import RunDir, create, write_samples


@pytest.fixture
def run(tiny_bundle: Path, tmp_path: Path) -> RunDir:
    run = RunDir(tmp_path / "run")
    create(run, config_yaml="a: 1\n", corpus={"fingerprint": "sha256:aa"}, assets={})
    shutil.copytree(tiny_bundle, run.bundle)
    append_history(run, {"step": 1, "units": 8, "elapsed_seconds": 1.0, "validation/loss": 2.0})
    write_samples(run, [{"input": "a"}])
    run.curves.write_bytes(b"png")
    run.held_out.mkdir()
    write_held_out(run.held_out / "test.parquet", [HeldOutItem(id="1", input="a", reference="b")])
    return run


def opened(run: RunDir) -> list[RunFacts]:
    """Send the record, and give the facts with which it was opened."""
    found: list[RunFacts] = []

    def open_recorder(facts: RunFacts) -> Recorder:
        found.append(facts)
        return Unrecorded()

    complete(run, compose_config([]), open_recorder)
    return found


def test_a_whole_run_is_sent(run: RunDir) -> None:
    assert len(opened(run)) == 1


LOST: dict[str, Callable[[RunDir], Path]] = {
    "history.jsonl": lambda run: run.history,
    "samples.json": lambda run: run.samples,
    "curves.png": lambda run: run.curves,
    "held_out": lambda run: run.held_out,
}


@pytest.mark.parametrize("name", LOST)
def test_a_run_that_lacks_a_file_of_its_record_is_told_which_before_the_record_is_opened(
    run: RunDir, name: str
) -> None:
    lost = LOST[name](run)
    shutil.move(lost, lost.with_name("elsewhere"))
    with pytest.raises(DataError, match=rf"lacks {name}.*put what is missing back.*model_registry register {run.path}"):
        opened(run)
