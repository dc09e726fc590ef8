"""Stores and bundles for the tests of the registry: an MLflow server, an SQLite file, and run directories."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import yaml

import dragoman
from dragoman.bundle.manifest import Provenance, Score
from dragoman.bundle.store import Bundle, open_bundle, write_bundle
from model_registry.gate.settings import SECTION, TASK_CONFIGS
from scoring.held_out import FOLDER, HeldOutItem, label, write_held_out
from tests.integration.mlflow_server import Server, free_port, mlflow_server

SIGNATURE = "nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0"
ITEMS = 24

Pair = tuple[str, str]

# Makes a bundle of the tiny model: its chrF, its name, the run that is said to have trained it, and whose weights.
MakeBundle = Callable[..., Bundle]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow"), free_port()) as running:
        yield running


@pytest.fixture(scope="session")
def sqlite_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/mlflow.db"


@pytest.fixture(params=["server", "sqlite"])
def uri(request: pytest.FixtureRequest) -> str:
    if request.param == "server":
        return str(request.getfixturevalue("server").uri)
    return str(request.getfixturevalue("sqlite_uri"))


@pytest.fixture(scope="session")
def toy_pairs(tiny_bundle: Path, toy_sentences: list[str]) -> list[Pair]:
    """Pair sentences with the tiny model's own translations, so that it is perfect and any other is not."""
    predictor = dragoman.load(tiny_bundle)
    sources = toy_sentences[:ITEMS]
    pairs = [(source, outcome.value.text) for source, outcome in zip(sources, predictor(sources), strict=True)]
    predictor.close()
    return pairs


@pytest.fixture(scope="session")
def other_bundle(tmp_path_factory: pytest.TempPathFactory, toy_sentences: list[str]) -> Path:
    """Write another model, much worse on ``toy_pairs``."""
    from tests.tiny_model import write_tiny_bundle

    return write_tiny_bundle(tmp_path_factory.mktemp("other"), toy_sentences, seed=2)


@pytest.fixture
def gate_file(tmp_path: Path) -> Callable[..., Path]:
    """Write the gate's settings for models with random weights, with the changes of a test."""

    def write(**changes: object) -> Path:
        settings = yaml.safe_load((TASK_CONFIGS / "translation.yaml").read_text(encoding="utf-8"))[SECTION]
        settings |= {"resamples": 100, "minimum_items": ITEMS, "latency_sample": 2}
        # Random weights repeat themselves, and timings of two milliseconds prove nothing.
        settings["guards"] = {"copied_share": {"max": 0.05}}
        settings |= {"latency_ratio": {"max": None}, "changed_in_batches_share": {"max": 0.0, "sample": 4}, **changes}
        path = tmp_path / f"gate-{len(list(tmp_path.iterdir()))}.yaml"
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")
        return path

    return write


@pytest.fixture
def make_bundle(tiny_bundle: Path, toy_pairs: list[Pair], tmp_path: Path, request: pytest.FixtureRequest) -> MakeBundle:
    """Write bundles in run directories, under a model name of this test's own, since the tests share their stores."""
    default_name = f"toy-{zlib.crc32(request.node.name.encode()):08x}"

    def make(
        chrf: float,
        *,
        name: str = default_name,
        run_id: str | None = None,
        weights: Path = tiny_bundle,
        pairs: Sequence[Pair] = toy_pairs,
        target: str = "de",
    ) -> Bundle:
        base = open_bundle(weights)
        run = tmp_path / f"run-{chrf}"
        (run / FOLDER).mkdir(parents=True)
        labels = []
        for split, part in (("validation", pairs[::-1]), ("test", pairs)):
            items = [HeldOutItem(id=source, input=source, reference=target) for source, target in part]
            write_held_out(run / FOLDER / f"{split}.parquet", items)
            labels.append(label("toy", split, items))
        return write_bundle(
            run / "bundle",
            name=name,
            task="translation",
            options={**base.manifest.options, "languages": {"source": "en", "target": target}},
            limits=base.manifest.limits,
            provenance=Provenance(
                mlflow_run_id=run_id, git_commit="c0ffee", config_digest="1" * 64, corpus_fingerprint="toy-corpus"
            ),
            scores=[
                score(metric, value, test_set)
                for test_set in labels
                for metric, value in (("chrF", chrf), ("BLEU", chrf / 2))
            ],
            model_dir=base.model_dir,
            engines={"ct2-int8": base.engine_dir("ct2-int8")},
            config_yaml=f"name: {name}\n",
        )

    return make


def score(metric: str, value: float, test_set: str) -> Score:
    return Score(
        metric=metric,
        value=value,
        signature=SIGNATURE,
        test_set=test_set,
        items=ITEMS,
        low=value - 1,
        high=value + 1,
        engine="ct2-int8",
    )
