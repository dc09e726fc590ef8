"""The demonstration's verdict about what it has trained, and its table of samples."""

import dataclasses
from pathlib import Path

import pytest

from deploy.demos.road import CELL_CHARACTERS, cell, shortcomings
from deploy.demos.settings import Demo
from dragoman.bundle.manifest import Manifest, Score
from dragoman.bundle.store import open_bundle
from dragoman.errors import ConfigError


def scored(metric: str, value: float, engine: str = "numpy", test_set: str = "some/test@1") -> Score:
    return Score(
        metric=metric,
        value=value,
        signature="s",
        test_set=test_set,
        items=10,
        low=value - 1,
        high=value + 1,
        engine=engine,
    )


@pytest.fixture(scope="module")
def manifest(tiny_bundle: Path) -> Manifest:
    return open_bundle(tiny_bundle).manifest


def judged(manifest: Manifest, metric: str, reaches: float, value: float, *baselines: Score) -> list[str]:
    """Judge a model that is worse, by the same metric, on a second test set."""
    scores = (scored(metric, value), scored(metric, -1, test_set="other/test@2"))
    demo = Demo(minutes=1, metric=metric, reaches=reaches)
    return shortcomings(demo, dataclasses.replace(manifest, scores=scores, baselines=baselines))


TRIVIAL, STRONG = scored("accuracy", 30, "majority class"), scored("accuracy", 97, "SVM")


def test_a_model_below_the_strong_baseline_and_above_the_trivial_one_has_learned(manifest: Manifest) -> None:
    assert judged(manifest, "accuracy", 20, 90, TRIVIAL, STRONG) == []
    assert judged(manifest, "accuracy", 90, 90) == []


def test_a_model_that_is_no_better_than_the_trivial_baseline_has_not(manifest: Manifest) -> None:
    for value in (30, 29):
        (sentence,) = judged(manifest, "accuracy", 20, value, TRIVIAL, STRONG)
        assert sentence == f"accuracy is {value:.1f}, no better than the 30.0 of majority class"


def test_a_baseline_of_another_metric_or_another_test_set_says_nothing(manifest: Manifest) -> None:
    others = scored("chrF", 99, "majority class"), scored("accuracy", 99, "majority class", "other/test@2")
    assert judged(manifest, "accuracy", 20, 90, *others) == []


def test_less_is_better_where_the_metric_says_so(manifest: Manifest) -> None:
    baseline = scored("ECE", 10, "majority class")
    assert judged(manifest, "ECE", 20, 5, baseline) == []
    assert judged(manifest, "ECE", 20, 15, baseline) == ["ECE is 15.0, no better than the 10.0 of majority class"]
    assert judged(manifest, "ECE", 4, 5, baseline) == ["ECE is 5.0, and the demo must reach 4"]


def test_a_bundle_without_the_score_of_the_demo_is_an_error(manifest: Manifest) -> None:
    demo = Demo(minutes=1, metric="accuracy", reaches=1)
    with pytest.raises(ConfigError, match="no score 'accuracy', which the section 'demo' of its task names"):
        shortcomings(demo, dataclasses.replace(manifest, scores=(scored("chrF", 1),)))


def test_a_long_text_is_cut_in_the_table_only_and_stays_on_one_line() -> None:
    assert cell("two\n lines") == "two lines"
    assert cell(0.918710518037277) == "0.9187"
    assert cell("a" * CELL_CHARACTERS) == "a" * CELL_CHARACTERS
    assert cell("a" * 10_000) == "a" * (CELL_CHARACTERS - 1) + "…"
