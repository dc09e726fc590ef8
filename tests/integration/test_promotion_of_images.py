"""The gate on classifiers of images end to end: tiny ones that are better, the same, noised and worse, on SQLite."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import yaml
from mlflow.tracking import MlflowClient
from safetensors.numpy import save_file

import dragoman
from dragoman.bundle.manifest import Score
from dragoman.bundle.store import Bundle, open_bundle, write_bundle
from dragoman.errors import ConfigError
from dragoman.predictor import answer_all
from dragoman.tasks.image_classification.options import Preprocessing
from model_registry.command_line import main
from model_registry.gate.comparison import compare_bundles
from model_registry.gate.settings import SECTION, TASK_CONFIGS, Agreement, load_settings
from scoring.bootstrap import estimate
from scoring.held_out import FOLDER, HeldOutItem, label, read_held_out, write_held_out
from scoring.table import metric
from tests.tiny_images import LABELS, SIDE, encoded, random_pictures, tiny_graph, tiny_weights, write_tiny_images

NAME = "toy-images"
SHARES = (0.4, 0.3, 0.27, 0.03)


class Maker:
    """Writes bundles of one tiny network in run directories, on pictures to which its own answers are the labels."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "base").mkdir()
        self.base = open_bundle(write_tiny_images(folder / "base"))
        self.weights = tiny_weights(Preprocessing(height=SIDE, width=SIDE))
        self.images = [encoded(pixels) for pixels in random_pictures(600)]
        self.items: list[HeldOutItem] = []
        self._give_classes_their_shares()
        self.references = [next(iter(output)) for output in self.answers(self.make("right").path)]
        rows = enumerate(zip(self.images, self.references, strict=True))
        self.items = [HeldOutItem(id=str(number), input=image, reference=it) for number, (image, it) in rows]
        self.label = label("toy", "test", self.items)

    def _give_classes_their_shares(self) -> None:
        """Change the biases until each label answers its share of the pictures, whatever the weights are."""
        answers = self.answers(self.base.path)
        logits = numpy.log([[output[name] for name in LABELS] for output in answers])
        logits *= self.base.manifest.options["temperature"]
        bias = numpy.zeros(len(LABELS))
        for _ in range(2000):
            shares = numpy.bincount((logits + bias).argmax(axis=1), minlength=len(LABELS)) / len(answers)
            bias += 0.02 * (numpy.array(SHARES) - shares)
        self.weights["head.bias"] = (self.weights["head.bias"] + bias).astype(numpy.float32)

    def answers(self, bundle: Path) -> list[dict[str, float]]:
        predictor = dragoman.load(bundle)
        try:
            return list(answer_all(predictor, self.images).plain)
        finally:
            predictor.close()

    def make(self, run: str, *, noise: float = 0.0) -> Bundle:
        """Write a bundle whose last layer is noised; another run is another bundle."""
        folder = self.folder / run
        for part in (FOLDER, "model", "onnx"):
            (folder / part).mkdir(parents=True)
        head = self.weights["head.weight"]
        chooser = numpy.random.default_rng(1)
        noised = head + noise * head.std() * chooser.standard_normal(head.shape)
        weights = {**self.weights, "head.weight": noised.astype(numpy.float32)}
        save_file(weights, folder / "model" / "model.safetensors")
        (folder / "model" / "config.json").write_bytes((self.base.model_dir / "config.json").read_bytes())
        (folder / "onnx" / "model.onnx").write_bytes(tiny_graph(weights).SerializeToString(deterministic=True))
        scores = baselines = []
        if self.items:
            write_held_out(folder / FOLDER / "test.parquet", self.items)
            scores = [self.scored([{it: 1.0} for it in self.references], "onnxruntime")]
            baselines = [self.scored([{LABELS[0]: 1.0}] * len(self.images), "majority class")]
        return write_bundle(
            folder / "bundle",
            name=NAME,
            task="image_classification",
            options=self.base.manifest.options,
            limits=self.base.manifest.limits,
            provenance=self.base.manifest.provenance,
            scores=scores,
            baselines=baselines,
            model_dir=folder / "model",
            engines={"onnx": folder / "onnx"},
            config_yaml=f"name: {run}\n",
        )

    def scored(self, outputs: list[dict[str, float]], engine: str) -> Score:
        found = estimate(metric("accuracy"), outputs, self.references)
        return Score(
            metric="accuracy",
            value=found.value,
            low=found.low,
            high=found.high,
            items=found.items,
            signature=found.signature,
            test_set=self.label,
            engine=engine,
        )


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    return Maker(tmp_path_factory.mktemp("images"))


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    settings = yaml.safe_load((TASK_CONFIGS / "image_classification.yaml").read_text(encoding="utf-8"))[SECTION]
    settings |= {"resamples": 100, "latency_ratio": {"max": None}, "margin": 2.0}
    settings["changed_in_batches_share"]["sample"] = 8
    # Random weights are never calibrated.
    del settings["guards"]["ECE"]
    path = tmp_path / "gate.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], gate: Path) -> Callable[..., tuple[int, str]]:
    def command(*arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        status = main([*map(str, arguments), "--gate", str(gate)])
        return status, capsys.readouterr().out

    return command


def test_better_and_same_classifiers_become_champion_and_noised_and_worse_ones_do_not(maker, run, sqlite_uri, tmp_path):
    noises = (("0", 0.2), ("1", 0.0), ("2", 0.0), ("3", 1.0))
    store = ("--tracking-uri", sqlite_uri)
    for name, noise in noises:
        main(["register", str(maker.make(name, noise=noise).path), *store])
    status, printed = run("promote", NAME, 1, *store)
    assert (status, printed.splitlines()[-1].rpartition(": ")[2]) == (0, "first champion")
    assert "majority class" in printed
    status, printed = run("promote", NAME, 2, "--mode", "superiority", *store)
    assert status == 0, printed
    assert "surely better" in printed
    status, printed = run("promote", NAME, 3, *store)
    assert status == 0, printed
    assert "accuracy 100.00 against the champion's 100.00" in printed
    assert "agreement/jpeg" in printed
    assert "agreement/mirrored" in printed
    status, printed = run("promote", NAME, 4, *store)
    assert status == 1
    assert "rejected: toy-images/4 " in printed
    assert "too few (1" in printed
    # Nowhere is an image printed as it is.
    assert "PNG\\r" not in printed

    client = MlflowClient(sqlite_uri, sqlite_uri)
    version = client.get_model_version(NAME, "4")
    decision = client.get_run(version.tags["gate_run"])
    assert {"guard/agreement/jpeg", "guard/agreement/mirrored", "guard/macro-F1"} <= set(decision.data.metrics)
    assert "A network that classifies images by 4 labels" in version.description
    assert "| image | label | score |" in version.description
    client.download_artifacts(decision.info.run_id, "", str(tmp_path))
    guards = json.loads((tmp_path / "verdict.json").read_text(encoding="utf-8"))["trial"]["guards"]
    (jpeg,) = (guard for guard in guards if guard["name"] == "agreement/jpeg")
    assert 80 <= jpeg["champion"] <= 100
    assert jpeg["accepted"].startswith("at least 80 and at least ")


def test_images_of_a_training_run_are_judged_again_as_they_are(maker, run):
    good, noised = maker.make("4"), maker.make("5", noise=1.0)
    stored = read_held_out(good.path.parent / FOLDER / "test.parquet")
    assert [item.input for item in stored] == maker.images
    status, printed = run("compare", noised.path, good.path.parent)
    assert status == 1
    # Which ones got worse: an image is named by its number, kind and size.
    table = printed[printed.index("Worse than the champion's answers") :]
    assert "16x16 PNG" in table
    assert "champion's label" in table
    status, printed = run("compare", good.path, noised.path, "--json")
    assert (status, json.loads(printed)["comparison"]["candidate"]) == (0, 100)


def test_a_change_of_the_images_that_turns_answers_is_named(maker, gate):
    """The tiny network answers by colour and by gradients, which have a direction."""
    candidate, champion = maker.make("6"), maker.make("7", noise=0.1)

    def reason(**agreement: Agreement) -> str:
        settings = replace(load_settings(gate), agreement=agreement)
        return compare_bundles(candidate.path, champion.path, lambda task: settings, None).reason

    assert "surely not worse" in reason(mirrored=Agreement(fall=5.0, sample=200))
    strict = reason(mirrored=Agreement(min=100.0, sample=200), jpeg=Agreement(min=50.0))
    assert strict.startswith("its agreement/mirrored is 9")
    assert strict.endswith("accepted is at least 100")
    with pytest.raises(ConfigError, match=r"agreement\.mirror is no variation .*there are jpeg, mirrored; did you"):
        reason(mirror=Agreement(min=50.0))
