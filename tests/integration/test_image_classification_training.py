import hashlib
import io
import json
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import dragoman
from dragoman.bundle.store import Bundle, open_bundle
from dragoman.predictor import answer_all
from dragoman.tasks.image_classification.decoding import decode
from dragoman.tasks.image_classification.options import Options, Preprocessing
from tests.forked import Command
from train.config.compose import compose_config
from train.run.history import read_history
from train.run.run_dir import RunDir
from train.tasks.image_classification.networks.classifier import Classifier
from train.tasks.image_classification.networks.timm_networks import make_network
from train.tasks.image_classification.networks.weights import read_source
from train.tasks.image_classification.task import ImageClassification

# The smallest network on the digits: a run takes a second, and nothing about it is random but by its seed.
SETTINGS = [
    "task=image_classification",
    "data=digits",
    "model=cnn_small",
    "model.widths=[12,12,16]",
    "model.activation=gelu",
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
    # Forty steps of the smallest network: far above the tenth that guessing gives.
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


def test_training_sees_the_pixels_that_a_server_sees_and_torch_gives_its_answers(run: RunDir) -> None:
    bundle = open_bundle(run.bundle)
    options = Options(**{**bundle.manifest.options, "preprocessing": Preprocessing(**preprocessing_of(bundle))})
    task = ImageClassification(compose_config(SETTINGS))
    splits = task.clean(task.read()).splits
    examples = splits.tests["test"][:40]
    assert task.decoded is not None
    pixels = task.decoded.pixels([image for image, _ in examples])
    for (image, _), trained in zip(examples, pixels, strict=True):
        assert trained.tobytes() == decode(image, options.preprocessing, max_pixels=1000)

    made = make_network(read_source(bundle.model_dir, None), options.labels, options.preprocessing, has_head=True)
    classifier = Classifier(made.network, options.preprocessing).eval()
    seen = torch.from_numpy(np.stack(pixels))
    with torch.no_grad():
        both = [torch.softmax(classifier(one).double() / options.temperature, 1) for one in (seen, seen.flip(2))]
    predictor = dragoman.load(run.bundle)
    served = answer_all(predictor, [image for image, _ in examples]).plain
    predictor.close()
    expected = ((both[0] + both[1]) / 2).numpy()
    found = np.array([[scores[label] for label in options.labels] for scores in served])
    assert np.abs(found - expected).max() < 1e-5


def preprocessing_of(bundle: Bundle) -> dict[str, Any]:
    found: dict[str, Any] = bundle.manifest.options["preprocessing"]
    return found


def test_a_trained_network_is_imported_as_it_is(run: RunDir, tmp_path: Path) -> None:
    held_out = run.path / "held_out"
    imported = RunDir(tmp_path / "run")
    given = ["task=image_classification", f"model.path={run.bundle / 'model'}", f"test={held_out / 'test.parquet'}"]
    # Averages of two answers are those of the same temperature alone.
    given.append(f"validation={held_out / 'validation.parquet'}")
    same = [setting for setting in SETTINGS if setting.startswith(("average_mirrored", "train.threads", "tracking"))]
    train(["import", *given, *same, f"run_dir={imported.path}"], tmp_path)
    assert files(imported) == files(run)
    values = [[score.value for score in open_bundle(one.bundle).manifest.scores] for one in (imported, run)]
    assert values[0] == values[1]
    assert open_bundle(imported.bundle).manifest.options == open_bundle(run.bundle).manifest.options
