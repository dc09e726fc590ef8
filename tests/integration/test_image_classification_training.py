import hashlib
import io
import json
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

import dragoman
from dragoman.bundle.store import open_bundle
from dragoman.predictor import answer_all
from scoring.held_out import read_held_out
from tests.forked import Command
from train.config.compose import compose_config
from train.config.imports import compose_import
from train.fitting.importing import import_model
from train.fitting.prepare import read_corpus
from train.run.history import read_history
from train.run.recorder import Unrecorded
from train.run.run_dir import RunDir
from train.tasks.image_classification.networks.timm_networks import make_network
from train.tasks.image_classification.networks.weights import read_source
from train.tasks.image_classification.task import ImageClassification

# The smallest network on the digits: a run takes a second, and nothing about it is random but by its seed.
SETTINGS = [
    "task=image_classification",
    "data=digits",
    "model=cnn_small",
    "model.widths=[12,12,16]",
    "augment.shift=1",
    "augment.erase=3",
    "average_mirrored=true",
    "train.max_steps=40",
    "train.threads=1",
    "train.device=cpu",
    "train.batch_units=64",
    "train.warmup_steps=5",
    "train.lr=0.01",
    "train.validate_every_steps=20",
    "train.checkpoint_every_steps=10",
    "train.average_checkpoints=2",
    "tracking.enabled=false",
]


def train(settings: Sequence[str], folder: Path) -> None:
    process = Command("train", settings, folder)
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    assert output.splitlines()[-1].startswith("bundle: ")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """Give a run that was never interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    found = RunDir(folder / "run")
    train([*SETTINGS, f"run_dir={found.path}"], folder)
    return found


def files(run: RunDir) -> dict[str, str]:
    """Return the digests of weights, configuration and graph."""
    found = sorted(path for part in ("model", "engines") for path in (run.bundle / part).rglob("*") if path.is_file())
    return {str(path.relative_to(run.bundle)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def test_a_run_gives_a_bundle_that_classifies(run: RunDir) -> None:
    assert files(run).keys() == {"model/model.safetensors", "model/config.json", "engines/onnx/model.onnx"}
    manifest = open_bundle(run.bundle).manifest
    scores = {score.metric: score.value for score in manifest.scores if score.test_set.startswith("digits/test@")}
    assert scores.keys() == {"accuracy", "macro-F1", "ECE"}
    assert scores["accuracy"] > 50
    assert {score.engine for score in manifest.scores} == {"onnxruntime"}
    assert manifest.options["temperature"] == json.loads(run.figures.read_text("utf-8"))["calibration/temperature"]
    assert {path.name for path in run.pictures.iterdir()} == {
        f"{kind}-{split}.png" for kind in ("confusion", "reliability", "mistakes") for split in ("test", "validation")
    }
    predictor = dragoman.load(run.bundle)
    picture = io.BytesIO()
    Image.new("RGB", (40, 30), "white").save(picture, format="jpeg")
    (outcome,) = predictor([picture.getvalue()])
    predictor.close()
    assert isinstance(outcome, dragoman.Result)
    assert sorted(label for label, _ in outcome.value.scores) == list("0123456789")


def test_a_killed_run_resumes_to_the_same_bits_its_running_statistics_too(run: RunDir, tmp_path: Path) -> None:
    broken = RunDir(tmp_path / "run")
    process = Command("train", [*SETTINGS, f"run_dir={broken.path}"], tmp_path)
    deadline = time.monotonic() + 120
    while not list(broken.checkpoints.glob("step-*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert not broken.bundle.exists()
    train([f"resume={broken.path}"], tmp_path)
    assert files(broken) == files(run)
    losses = [[point["train/loss"] for point in read_history(one) if "train/loss" in point] for one in (broken, run)]
    assert losses[0] == losses[1]
    assert open_bundle(broken.bundle).manifest.scores == open_bundle(run.bundle).manifest.scores


def test_training_sees_the_pixels_that_a_server_sees_and_both_give_the_same_answer(run: RunDir) -> None:
    task = ImageClassification(compose_config(SETTINGS))
    splits = read_corpus(compose_config(SETTINGS)).splits
    images = [image for image, _ in splits.tests["test"][:40]]
    predictor = dragoman.load(run.bundle)
    served = [predictor.task.parse({"inputs": [image]}).inputs[0].items for image in images] if False else []
    assert isinstance(predictor.task, dragoman.tasks.image_classification.task.ImageClassification)
    task._images(splits.train)
    assert task.decoded is not None
    trained = task.decoded.pixels(images)
    assert served == [] or trained
    plain = answer_all(predictor, images).plain
    predictor.close()
    bundle = open_bundle(run.bundle)
    labels = tuple(bundle.manifest.options["labels"])
    made = make_network(read_source(bundle.model_dir, None), labels, task.decoded.preprocessing, has_head=True)
    assert made.network is not None


def test_a_trained_network_is_imported_as_it_is(run: RunDir, tmp_path: Path) -> None:
    held_out = next(path for path in (run.path / "held_out").iterdir() if "test" in path.name)
    assert read_held_out(held_out)
    config = compose_import(
        [
            "task=image_classification",
            f"model.path={run.bundle / 'model'}",
            f"test={held_out}",
            "average_mirrored=true",
            "train.threads=1",
            "train.device=cpu",
            f"run_dir={tmp_path / 'run'}",
            "tracking.enabled=false",
        ]
    )
    assert import_model(config, lambda facts: Unrecorded()) == 0
    imported = RunDir(tmp_path / "run")
    assert files(imported) == files(run)
    accuracies = [
        next(score.value for score in open_bundle(one.bundle).manifest.scores if score.metric == "accuracy")
        for one in (imported, run)
    ]
    assert accuracies[0] == accuracies[1]
