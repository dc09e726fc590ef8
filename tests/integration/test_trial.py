"""Training for a search: unit grids and budgets, stopping by what watches, going on, and exporting what was found."""

import dataclasses
import json
from pathlib import Path

import pytest

import dragoman
from tests.toy_corpus import write_toy_corpus
from train.config.compose import compose_config
from train.config.settings import Config
from train.fitting.prepare import read_corpus
from train.fitting.trial import Fitted, run_trial
from train.run.history import CurvePoint
from train.run.recorder import Unrecorded
from train.run.run_dir import RunDir

GRID_UNITS = 2_000


class Silent:
    def stage(self, text: str) -> None:
        """Nobody looks."""

    def show(self, report: CurvePoint) -> None:
        """Nobody looks."""


class EnoughError(Exception):
    """An error that a search raises to end a trial."""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    settings = write_toy_corpus(tmp_path_factory.mktemp("corpus"))
    limits = ["train.max_units=10000", f"train.validate_every_units={GRID_UNITS}", "train.patience=null"]
    return compose_config([*settings, *limits, "tracking.enabled=false", "study=toy/trial-3"])


def trial(config: Config, path: Path, seen: list[CurvePoint], *, stop_after: int | None = None) -> Fitted:
    def watch(report: CurvePoint) -> None:
        if report.validation:
            seen.append(report)
            if len(seen) == stop_after:
                raise EnoughError

    return run_trial(config, path, Unrecorded(), corpus=read_corpus(config), watch=watch, display=Silent())


def test_a_trial_validates_once_in_each_interval_of_units_and_ends_with_its_budget(config: Config, tmp_path: Path):
    seen: list[CurvePoint] = []
    fitted = trial(config, tmp_path / "trial", seen)
    assert [report.units // GRID_UNITS for report in seen] == [1, 2, 3, 4, 5]
    assert 10_000 <= fitted.fitting.state.units < 10_000 + config.train.batch_units
    assert fitted.figures["chrf"] == max(report.figures["validation/chrf"] for report in seen)
    assert not RunDir(tmp_path / "trial").bundle.exists()

    bundle = fitted.export(tmp_path / "bundle")
    assert bundle.manifest.provenance.study == "toy/trial-3"
    assert bundle.manifest.scores == ()
    translate = dragoman.load(tmp_path / "bundle")
    assert len(translate(["the man sees the house today."])) == 1
    translate.close()


def test_the_decoder_may_have_more_layers_than_the_encoder(config: Config, tmp_path: Path):
    deep = dataclasses.replace(config, model=dataclasses.replace(config.model, num_decoder_layers=2))
    fitted = trial(deep, tmp_path / "trial", [])
    bundle = fitted.export(tmp_path / "bundle")
    texts = ["the man sees the house today.", "my dog likes a book here."]
    translations = []
    for engine in ("ctranslate2", "torch"):
        translate = dragoman.load(bundle, engine=engine, device="cpu")
        translations.append([outcome.value.text for outcome in translate(texts)])
        translate.close()
    assert translations[0] == translations[1]


def test_a_trial_that_was_ended_goes_on_where_it_was_and_tells_its_past_again(config: Config, tmp_path: Path):
    whole: list[CurvePoint] = []
    expected = trial(config, tmp_path / "whole", whole)
    before: list[CurvePoint] = []
    with pytest.raises(EnoughError):
        trial(config, tmp_path / "cut", before, stop_after=3)
    after: list[CurvePoint] = []
    fitted = trial(config, tmp_path / "cut", after)
    ended, whole_state = fitted.fitting.state, expected.fitting.state
    assert (ended.best_score, ended.step, ended.units) == (
        whole_state.best_score,
        whole_state.step,
        whole_state.units,
    )
    assert [report.figures["validation/chrf"] for report in after] == [
        report.figures["validation/chrf"] for report in whole
    ]
    steps = [json.loads(line)["step"] for line in RunDir(tmp_path / "cut").history.read_text().splitlines()]
    assert steps == sorted(steps)
