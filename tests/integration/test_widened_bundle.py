"""A widened bundle: larger everywhere, with the translations of the small one."""

import json
from pathlib import Path

import pytest

from benchmarks.translation.widened_bundle import T5_SMALL, widened
from dragoman.bundle.store import Bundle, open_bundle
from dragoman.engines.ct2 import VOCABULARY_MAP
from dragoman.engines.ct2_batches import CONVERSION
from dragoman.errors import ConfigError
from dragoman.items.outcomes import Result
from dragoman.predictor import load
from tests.unit.dragoman.engines.test_target_vocabulary import restricted

WIDE = {
    "vocab_size": 192,
    "d_model": 48,
    "d_kv": 16,
    "d_ff": 80,
    "num_heads": 6,
    "num_layers": 3,
    "num_decoder_layers": 4,
}


@pytest.fixture(scope="module")
def wide_bundle(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return widened(open_bundle(tiny_bundle), tmp_path_factory.mktemp("wide") / "bundle", WIDE)


def test_a_widened_bundle_translates_as_the_small_one(
    tiny_bundle: Path, wide_bundle: Bundle, toy_sentences: list[str]
) -> None:
    sentences = toy_sentences[:40]

    found = _translations(wide_bundle.path, sentences)

    expected = _translations(tiny_bundle, sentences)
    assert found == expected
    assert len(set(expected)) > 10


def test_its_geometry_is_the_one_asked_for_and_it_has_no_scores(wide_bundle: Bundle) -> None:
    configuration = json.loads((wide_bundle.model_dir / "config.json").read_text(encoding="utf-8"))
    assert {name: configuration[name] for name in WIDE} == WIDE
    assert wide_bundle.manifest.scores == ()


def test_it_answers_with_the_pieces_that_the_small_one_may_answer_with(tiny_bundle: Path, tmp_path: Path) -> None:
    small = restricted(open_bundle(tiny_bundle), tmp_path, frozenset({20, 30, 40}))
    wide = widened(small, tmp_path / "wide", WIDE)
    maps = [(bundle.engine_dir(CONVERSION) / VOCABULARY_MAP).read_bytes() for bundle in (small, wide)]
    assert maps[0] == maps[1]


def test_a_model_that_is_larger_already_is_refused(wide_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"larger than what it should grow to.*'d_model': 32"):
        widened(wide_bundle, tmp_path / "bundle", {**T5_SMALL, "d_model": 32, "num_layers": 3, "num_decoder_layers": 4})


def _translations(bundle: Path, sentences: list[str]) -> list[str]:
    predictor = load(bundle, engine="torch", device="cpu")
    try:
        return [outcome.value.text for outcome in predictor(sentences) if isinstance(outcome, Result)]
    finally:
        predictor.close()
