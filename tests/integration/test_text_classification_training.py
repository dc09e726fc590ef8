import hashlib
import json
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

import dragoman
from dragoman.bundle.store import open_bundle
from tests.forked import Command
from tests.integration.mlflow_server import new_store
from tests.toy_texts import write_toy_texts
from train.config.compose import compose_config
from train.run.history import read_history
from train.run.recorder import Unrecorded
from train.run.run_dir import RunDir
from train.session import start

STEPS = 60
Tracked = tuple[RunDir, str, str]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Give settings for training on the toy texts."""
    return write_toy_texts(tmp_path_factory.mktemp("corpus"))


def train(settings: Sequence[str], folder: Path) -> str:
    """Train by the command; returns what it printed on standard error."""
    process = Command("train", settings, folder)
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert output.splitlines()[-1].startswith("bundle: ")
    return errors


@pytest.fixture(scope="module")
def tracked(corpus: list[str], tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    """Give a run that was never interrupted, with its messages and the URI of its record."""
    folder = tmp_path_factory.mktemp("whole")
    run, uri = RunDir(folder / "run"), new_store(folder / "mlflow.db")
    errors = train([*corpus, f"train.max_steps={STEPS}", f"run_dir={run.path}", f"tracking.uri={uri}"], folder)
    return run, errors, uri


def files(run: RunDir) -> dict[str, str]:
    """Return the digests of weights, tokenizer, conversion and head."""
    found = sorted(path for part in ("model", "engines") for path in (run.bundle / part).rglob("*") if path.is_file())
    return {str(path.relative_to(run.bundle)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def test_a_run_gives_a_bundle_that_classifies(tracked: Tracked) -> None:
    run, _, _ = tracked
    predictor = dragoman.load(run.bundle)
    (outcome,) = predictor(["She sees two pears here."])
    predictor.close()
    assert isinstance(outcome, dragoman.Result)
    assert {label for label, _ in outcome.value.scores} == {"animal", "fruit", "tool"}
    manifest = open_bundle(run.bundle).manifest
    assert {score.metric for score in manifest.scores} == {"macro-F1", "accuracy", "ECE"}
    assert manifest.options["temperature"] == json.loads(run.figures.read_text("utf-8"))["calibration/temperature"]


def test_baselines_are_scored_on_every_held_out_set_and_shown_beside_the_model(tracked: Tracked) -> None:
    run, errors, _ = tracked
    manifest = open_bundle(run.bundle).manifest
    places = {(score.test_set.partition("@")[0], score.metric, score.engine) for score in manifest.baselines}
    assert places == {
        (f"labelled/{split}", metric, name)
        for split in ("test", "validation")
        for metric in ("macro-F1", "accuracy")
        for name in ("majority class", "TF-IDF + linear SVM")
    }
    assert {score.test_set for score in manifest.baselines} == {score.test_set for score in manifest.scores}
    (header,) = [line for line in errors.splitlines() if line.startswith("test set")]
    assert header.split("  ")[-1] == "TF-IDF + linear SVM"
    assert "| majority class |" in (run.bundle / "MODEL_CARD.md").read_text("utf-8")


def test_mlflow_has_the_pictures_the_calibration_and_the_baselines(tracked: Tracked) -> None:
    from mlflow.tracking import MlflowClient

    run, _, uri = tracked
    client, run_id = MlflowClient(uri), json.loads(run.mlflow.read_text("utf-8"))["run_id"]
    pictures = {file.path.removeprefix("pictures/") for file in client.list_artifacts(run_id, "pictures")}
    assert pictures == {path.name for path in run.pictures.iterdir()}
    assert pictures == {
        f"{kind}-{split}.png" for kind in ("confusion", "reliability") for split in ("test", "validation")
    }
    found = client.get_run(run_id).data.metrics
    assert {"calibration/temperature", "calibration/ece_before", "calibration/ece_after"} <= set(found)
    assert {"labelled/test/accuracy", "labelled/test/majority-class/accuracy"} <= set(found)
    assert "validation/macro-f1" in found


def test_a_killed_run_resumes_to_the_same_bits(corpus: list[str], tracked: Tracked, tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    settings = [*corpus, f"train.max_steps={STEPS}", f"run_dir={run.path}", "tracking.enabled=false"]
    process = Command("train", settings, tmp_path)
    deadline = time.monotonic() + 120
    while len(list(run.checkpoints.glob("step-*"))) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert not run.bundle.exists()
    train([f"resume={run.path}"], tmp_path)
    whole = tracked[0]
    assert files(run) == files(whole)
    losses = [[point["train/loss"] for point in read_history(one) if "train/loss" in point] for one in (run, whole)]
    assert losses[0] == losses[1]
    assert open_bundle(run.bundle).manifest.scores == open_bundle(whole.bundle).manifest.scores


def test_a_trained_classifier_is_packed_as_it_is(corpus: list[str], tracked: Tracked, tmp_path: Path) -> None:
    old = tracked[0]
    fixed = [text for text in corpus if not text.startswith("model")]
    given = ["model=bert_base", f"model.path={old.bundle / 'model'}", "train.max_steps=0", "tracking.enabled=false"]
    assert start(compose_config([*fixed, *given, f"run_dir={tmp_path / 'run'}"]), lambda facts: Unrecorded()) == 0
    run = RunDir(tmp_path / "run")
    weights = [name for name in files(old) if name.endswith((".safetensors", "model.bin"))]
    assert len(weights) == 3
    assert all(files(run)[name] == files(old)[name] for name in weights)
    assert open_bundle(run.bundle).manifest.scores == open_bundle(old.bundle).manifest.scores
