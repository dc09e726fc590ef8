"""The gate on classifiers end to end: tiny ones that are better, the same, noised and worse, on SQLite."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import yaml
from mlflow.tracking import MlflowClient
from safetensors.numpy import load_file, save_file

import dragoman
from dragoman.bundle.manifest import Score
from dragoman.bundle.store import Bundle, open_bundle, write_bundle
from dragoman.predictor import answer_all
from model_registry.command_line import main
from model_registry.gate.settings import SECTION, TASK_CONFIGS
from scoring.bootstrap import estimate
from scoring.held_out import FOLDER, HeldOutItem, label, write_held_out
from scoring.table import metric
from tests.tiny_classifier import write_tiny_classifier

# MLflow takes neither of the two signs in the name of a figure.
LABELS = ("earn", "acq & buy", "crude/oil", "grain")
# Of the last one there are too few to be judged.
SHARES = (0.5, 0.3, 0.17, 0.03)
NAME = "toy-news"


class Maker:
    """Writes bundles of one tiny classifier in run directories, on texts to which its own answers are the labels."""

    def __init__(self, folder: Path, texts: list[str]) -> None:
        self.folder, self.texts, self.items = folder, texts, []
        (folder / "good").mkdir()
        self.base = open_bundle(write_tiny_classifier(folder / "good", texts, labels=LABELS))
        self.head = load_file(self.base.engine_dir("ct2-int8") / "head.safetensors")
        self._give_classes_their_shares()
        self.references = [next(iter(output)) for output in self.answers(self.make("right").path)]
        items = [
            HeldOutItem(id=text, input=text, reference=it) for text, it in zip(texts, self.references, strict=True)
        ]
        self.items, self.label = items, label("toy", "test", items)

    def _give_classes_their_shares(self) -> None:
        """Change the biases until each label answers its share of the texts, whatever the weights are."""
        answers = self.answers(self.base.path)
        logits = numpy.log([[output[name] for name in LABELS] for output in answers])
        logits *= self.base.manifest.options["temperature"]
        bias = numpy.zeros(len(LABELS))
        for _ in range(2000):
            shares = numpy.bincount((logits + bias).argmax(axis=1), minlength=len(LABELS)) / len(answers)
            bias += 0.1 * (numpy.array(SHARES) - shares)
        self.head["classifier.bias"] = (self.head["classifier.bias"] + bias).astype(numpy.float32)

    def answers(self, bundle: Path) -> list[dict[str, float]]:
        predictor = dragoman.load(bundle)
        try:
            return list(answer_all(predictor, self.texts).plain)
        finally:
            predictor.close()

    def make(self, run: str, *, noise: float = 0.0) -> Bundle:
        """Write a bundle whose head is noised; another run is another bundle."""
        base, folder = self.base, self.folder / run
        (folder / FOLDER).mkdir(parents=True)
        engine = shutil.copytree(base.engine_dir("ct2-int8"), folder / "ct2")
        weight = self.head["classifier.weight"]
        noised = weight + noise * weight.std() * numpy.random.default_rng(1).standard_normal(weight.shape)
        save_file({**self.head, "classifier.weight": noised.astype(numpy.float32)}, engine / "head.safetensors")
        scores = baselines = []
        if self.items:
            write_held_out(folder / FOLDER / "test.parquet", self.items)
            scores = [self.scored([{it: 1.0} for it in self.references], "ct2-int8")]
            baselines = [self.scored([{LABELS[0]: 1.0}] * len(self.texts), "majority class")]
        return write_bundle(
            folder / "bundle",
            name=NAME,
            task="text_classification",
            options=base.manifest.options,
            limits=base.manifest.limits,
            provenance=base.manifest.provenance,
            scores=scores,
            baselines=baselines,
            model_dir=base.model_dir,
            engines={"ct2-int8": engine},
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
def maker(tmp_path_factory: pytest.TempPathFactory, toy_sentences: list[str]) -> Maker:
    return Maker(tmp_path_factory.mktemp("news"), toy_sentences)


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    settings = yaml.safe_load((TASK_CONFIGS / "text_classification.yaml").read_text(encoding="utf-8"))[SECTION]
    settings |= {"minimum_items": 400, "resamples": 100, "latency_ratio": {"max": None}, "margin": 2.0}
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
    start, good, same, noised = (
        maker.make(name, noise=noise) for name, noise in (("0", 0.2), ("1", 0.0), ("2", 0.0), ("3", 1.0))
    )
    store = ("--tracking-uri", sqlite_uri)
    for bundle in (start, good, same, noised):
        main(["register", str(bundle.path), *store])
    status, printed = run("promote", NAME, 1, *store)
    assert (status, printed.splitlines()[-1].rpartition(": ")[2]) == (0, "first champion")
    assert "majority class" in printed
    status, printed = run("promote", NAME, 2, "--mode", "superiority", *store)
    assert status == 0, printed
    assert "surely better" in printed
    status, printed = run("promote", NAME, 3, *store)
    assert status == 0, printed
    assert "accuracy 100.00 against the champion's 100.00" in printed
    assert "exact McNemar: 0 items better, 0 worse, p = 1.000" in printed
    status, printed = run("promote", NAME, 4, *store)
    assert status == 1
    assert "rejected: toy-news/4 " in printed
    assert "class_recall/crude/oil" in printed
    assert "too few (1" in printed

    client = MlflowClient(sqlite_uri, sqlite_uri)
    version = client.get_model_version(NAME, "4")
    decision = client.get_run(version.tags["gate_run"])
    metrics = decision.data.metrics
    assert metrics["paired_worse"] > metrics["paired_better"] == 0
    assert {"guard/class_recall/acq _ buy", "guard/class_recall/crude_oil", "guard/macro-F1"} <= set(metrics)
    assert "guard/class_recall/grain" not in metrics
    assert "A BERT that classifies texts by 4 labels" in version.description
    assert "| metric | score | 95 % interval | test set (items) | majority class |" in version.description
    assert "| accuracy | 100.00 | 100.00 to 100.00 |" in version.description
    assert "| text | label | score |" in version.description
    client.download_artifacts(decision.info.run_id, "", str(tmp_path))
    trial = json.loads((tmp_path / "verdict.json").read_text(encoding="utf-8"))["trial"]
    assert trial["baselines"][0]["engine"] == "majority class"
    assert trial["paired_test"]["p"] < 0.05


def test_two_classifiers_are_compared_on_texts_and_labels_given_as_files(maker, run, tmp_path):
    good, noised = maker.make("4"), maker.make("5", noise=1.0)
    (tmp_path / "texts").write_text("".join(f"{text}\n" for text in maker.texts), encoding="utf-8")
    (tmp_path / "labels").write_text("".join(f"{it}\n" for it in maker.references), encoding="utf-8")
    files = ("--inputs", tmp_path / "texts", "--references", tmp_path / "labels")
    status, printed = run("compare", good.path, noised.path, *files, "--json")
    found = json.loads(printed)
    assert (status, found["verdict"], found["comparison"]["candidate"]) == (0, "promoted", 100)
    assert run("compare", noised.path, good.path.parent)[0] == 1
