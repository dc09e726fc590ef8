import dataclasses

import optuna
import pytest

from deploy.demos.search import _parser
from train.run.history import CurvePoint
from tune.results.display import SearchDisplay, headings
from tune.search.help import help_text
from tune.search.settings import PRUNERS, SearchSettings
from tune.study.recorder import Summary

STANDING = Summary(
    counts={"COMPLETE": 2, "PRUNED": 2, "RUNNING": 1, "WAITING": 5}, best_number=3, best_values={"chrf": 41}
)


def test_a_trial_that_ends_is_one_line_with_the_standing(capsys: pytest.CaptureFixture[str]) -> None:
    with SearchDisplay(study="s", planned=10, hours=None) as display:
        display.begin(7, STANDING)
        display.stage("reading")
        display.show(CurvePoint(step=5, units=9, elapsed_seconds=1, progress=0.5, figures={"validation/chrf": 3.0}))
        display.wait(2)
        display.end(7, "chrf 40.00", STANDING)
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("trial 7: chrf 40.00; 4/10 trials done, 1 running, 50% pruned, best chrf 41.00 (trial 3)")
    assert line.endswith("left")


def test_the_time_left_is_shared_by_all_workers_this_one_included(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 60.0])
    monkeypatch.setattr("tune.results.display.time.monotonic", lambda: next(clock))
    standing = Summary(counts={"COMPLETE": 4, "RUNNING": 1, "WAITING": 5}, best_number=None, best_values={})
    SearchDisplay(study="s", planned=10, hours=None).end(7, "chrf 40.00", standing)
    # Six trials of a minute each, by this worker and the one that runs a trial at the moment.
    assert "about 3:00 left" in capsys.readouterr().err


def test_the_table_shows_the_best_trials_with_their_settings(capsys: pytest.CaptureFixture[str]) -> None:
    trial = optuna.create_trial(
        values=[41.25],
        params={"train.lr": 0.0012345},
        distributions={"train.lr": optuna.distributions.FloatDistribution(0, 1)},
    )
    SearchDisplay(study="s", planned=1, hours=None).table(["chrf"], [trial])
    printed = capsys.readouterr().err
    assert "41.25" in printed
    assert "0.001234" in printed


def test_settings_in_the_table_are_named_without_their_sections_unless_two_would_be_the_same() -> None:
    names = ["train.batch_units", "model.dropout", "head.dropout"]
    assert headings(names) == ["batch_units", "model.dropout", "head.dropout"]


def test_the_comparison_of_make_tune_takes_no_setting_that_one_side_alone_would_have() -> None:
    assert _parser().parse_args(["--trials", "3"]).trials == 3
    with pytest.raises(SystemExit):
        _parser().parse_args(["train.seed=3"])


def test_the_help_names_every_setting_and_every_pruner() -> None:
    text = help_text()
    names = {field.name for field in dataclasses.fields(SearchSettings)} - {"sampler", "pruner"}
    for name in (*names, *PRUNERS, "sampler.seed", "constraints.NAME", "int step", "when"):
        assert name in text
