"""Stores and bundles for the tests of the registry: an MLflow server, an SQLite file, and run directories."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import yaml

import dragoman
from dragoman.bundle import Bundle, open_bundle, write_bundle
from dragoman.manifest import Provenance, Score
from dragoman.segments import Pair, split_label, write_segments
from model_registry.gate_settings import DEFAULT_SETTINGS
from tests.integration.mlflow_server import Server, free_port, mlflow_server

SIGNATURE = "nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0"
SEGMENTS = 24

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
    """Segments whose references are the tiny model's own translations, so that it is perfect and any other is not."""
    predictor = dragoman.load(tiny_bundle)
    sources = toy_sentences[:SEGMENTS]
    pairs = [(source, outcome.value.text) for source, outcome in zip(sources, predictor(sources), strict=True)]
    predictor.close()
    return pairs


@pytest.fixture(scope="session")
def other_bundle(tmp_path_factory: pytest.TempPathFactory, toy_sentences: list[str]) -> Path:
    """Another model, much worse on ``toy_pairs``."""
    from tests.tiny_model import write_tiny_bundle

    return write_tiny_bundle(tmp_path_factory.mktemp("other"), toy_sentences, seed=2)


@pytest.fixture
def gate_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes the gate's settings for models with random weights, with what a test changes."""

    def write(guards: dict[str, object] | None = None, **changes: object) -> Path:
        settings = yaml.safe_load(DEFAULT_SETTINGS.read_text(encoding="utf-8"))
        settings |= {"resamples": 100, "minimum_segments": SEGMENTS, **changes}
        # Random weights repeat themselves, and timings of two milliseconds prove nothing.
        lenient = {"repeated_share_max": 1.0, "empty_share_max": 1.0, "batch_sample": 4, "latency_sample": 2}
        off = dict.fromkeys(("latency_ratio_max", "length_ratio_min", "length_ratio_max", "brevity_penalty_min"))
        settings["guards"] |= {**lenient, **off, **(guards or {})}
        path = tmp_path / f"gate-{len(list(tmp_path.iterdir()))}.yaml"
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")
        return path

    return write


@pytest.fixture
def make_bundle(tiny_bundle: Path, toy_pairs: list[Pair], tmp_path: Path, request: pytest.FixtureRequest) -> MakeBundle:
    """Bundles in run directories, under a model name of this test's own, since the tests share their stores."""
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
        (run / "segments").mkdir(parents=True)
        labels = []
        for split, part in (("validation", pairs[::-1]), ("test", pairs)):
            write_segments(run / "segments" / f"{split}.jsonl", part)
            labels.append(split_label("toy", split, part))
        return write_bundle(
            run / "bundle",
            name=name,
            task="translation",
            languages=type(base.manifest.languages)(target=target),
            preprocessing=base.manifest.preprocessing,
            decoding=base.manifest.decoding,
            limits=base.manifest.limits,
            provenance=Provenance(
                mlflow_run_id=run_id, git_commit="c0ffee", config_digest="1" * 64, corpus_fingerprint="toy-corpus"
            ),
            scores=[
                score(metric, value, label)
                for label in labels
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
        segments=SEGMENTS,
        low=value - 1,
        high=value + 1,
        engine="ct2-int8",
    )
