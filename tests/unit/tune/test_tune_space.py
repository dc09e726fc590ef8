from pathlib import Path
from typing import Any

import optuna
import pytest

from dragoman.errors import ConfigError
from train.config.compose import compose_config, training_digest
from train.tasks.translation.task import Translation
from tune.search.definition import default_search, load_definition, trial_settings
from tune.search.space import as_settings, baseline, choose, corners, extremes, in_order, parse_space, suggest


def mistakes(*arguments: str) -> str:
    with pytest.raises(ConfigError) as error:
        load_definition(arguments)
    return str(error.value)


def space_of(value: Any) -> dict[str, Any]:
    problems: list[str] = []
    space = parse_space(value, problems)
    assert not problems
    return space


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ("{}", "space must name at least one setting"),
        ("{train.lrr: {kind: int, low: 1, high: 2}}", "did you mean train.lr?"),
        ("{train.lr: 3}", "space.train.lr must have a kind (float, int, categorical)"),
        ("{train.lr: {kind: real, low: 1, high: 2}}", "space.train.lr.kind must be one of float, int, categorical"),
        ("{train.lr: {kind: float, low: 1}}", "space.train.lr.high is required"),
        ("{train.lr: {kind: float, low: 1, hihg: 2}}", "did you mean high?"),
        ("{train.lr: {kind: float, low: 2, high: 1}}", "space.train.lr.low is 2, which is more than high, 1"),
        ("{train.lr: {kind: float, low: 0, high: 1, log: true}}", "low must be more than 0 where log is true, got 0"),
        ("{train.lr: {kind: float, low: 0, high: 1, step: 0.3}}", "step is 0.3, which does not lead from low"),
        ("{train.lr: {kind: float, low: 0, high: 1, step: -1}}", "step must be more than 0, got -1"),
        ("{train.seed: {kind: int, low: 1, high: 9, step: 2, log: true}}", "a logarithmic range has no steps"),
        ("{train.schedule: {kind: categorical, choices: []}}", "choices is empty"),
        ("{train.schedule: {kind: categorical, choices: [linear, linear]}}", "names 'linear' more than once"),
        ("{train.lr: {kind: float, low: 0, high: 1, when: {a.b: [1]}}}", "when names a.b, which is not in the space"),
        ("{train.lr: {kind: float, low: 0, high: 1, when: 3}}", "when must be like {train.schedule: [linear]}"),
        (
            "{train.seed: {kind: int, low: 1, high: 9},"
            " train.lr: {kind: float, low: 0, high: 1, when: {train.seed: []}}}",
            "when.train.seed is empty",
        ),
        (
            "{train.seed: {kind: int, low: 1, high: 9, step: 2},"
            " train.lr: {kind: float, low: 0, high: 1, when: {train.seed: [2]}}}",
            "names 2, which train.seed never is",
        ),
        (
            "{train.seed: {kind: int, low: 1, high: 2, when: {train.lr: [1]}},"
            " train.lr: {kind: float, low: 0, high: 1, when: {train.seed: [1]}}}",
            "the conditions of train.lr, train.seed wait for each other",
        ),
        ("{model.num_layers: {kind: int, low: 0, high: 2}}", "model.num_layers must be at least 1, got 0"),
        ("{train.schedule: {kind: categorical, choices: [linear, cosine]}}", "train.schedule must be one of"),
        ("{task: {kind: categorical, choices: [translation, poetry]}}", "task must be one of"),
    ],
)
def test_a_wrong_space_is_refused_with_the_reason(space: str, told: str) -> None:
    assert told in mistakes(f"space={space}")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["search=phrasbook"], "did you mean phrasebook?"),
        (["trials"], "'trials' is not a setting: write key=value"),
        (["trials=null"], "trials and hours are both null"),
        (["hours=0"], "hours must be more than 0"),
        (["study='a b'"], "study must be letters"),
        (["objectives=[chrf,blue]"], "objectives names 'blue'; loss, chrf, bleu, p95_latency_ms, size_mb are measured"),
        (["objectives=[chrf,chrf]"], "objectives must be one or two different ones"),
        (["objectives=[]"], "objectives must be one or two different ones"),
        (["objectives=[chrf,size_mb]"], "no trial can be pruned for two objectives"),
        (["objectives=[size_mb]"], "size_mb is not known before the end"),
        (["constraints={size: 3}"], "constraints.size is not measured; p95_latency_ms, size_mb are"),
        (["constraints={size_mb: -1}"], "constraints.size_mb must be a number more than 0"),
        (["pruner.kind=wilcoxon", "folds=4"], "stops nothing on 4 folds"),
        (["pruner={kind: wilcoxon, p_threshold: 0.03}", "folds=4"], "it takes folds=7"),
        (["pruner={kind: wilcoxon, startup_folds: 6}", "folds=5"], "it takes folds=7"),
        (["pruner={kind: wilcoxon, p_threshold: 0}", "folds=9"], "no p-value is below it"),
        (
            ["objectives=[size_mb,chrf]", "pruner.kind=none"],
            "two objectives must begin with a validation figure (loss, chrf, bleu), got [size_mb, chrf]",
        ),
        (["pruner.kind=median2"], "pruner.kind must be one of median, hyperband, wilcoxon, none"),
        (["pruner.startup=3"], "did you mean startup_trials?"),
        (["folds=3", "trial=[train.max_steps=9]"], "folds and hyperband count on train.max_units"),
        (["train.lr=0.001"], "train.lr is both fixed and in the space"),
        (["final=[train.lr=0.001]"], "train.lr is both fixed and in the space"),
        (["train.max_units=500000"], "write trial=[train.max_units=500000] instead"),
        (["train.max_minutes=9"], "write final=[train.max_minutes=9] instead"),
        (["final=[train.seed=1,train.max_steps=5]", "+train.seed=2"], "write final=[+train.seed=2,train.max_steps=5]"),
        (["space.train.lr=3", "space.train.lr.high=0.02"], "reaches into space.train.lr, which is 3"),
        (["train.lrr=0.001"], "train.lrr is not a setting"),
        (["final=[train.lrr=1]"], "train.lrr is not a setting"),
    ],
)
def test_a_wrong_search_is_refused_with_the_reason(arguments: list[str], told: str) -> None:
    assert told in mistakes(*arguments)


def test_all_mistakes_are_told_at_once() -> None:
    told = mistakes("trials=0", "space.train.lr.low=1", "constraints={size: 1}", "space.train.batch_units.choices=[]")
    assert told.startswith("4 settings are wrong")


def test_a_setting_of_the_command_line_reaches_inside_a_parameter() -> None:
    definition = load_definition(["space.train.lr.high=0.02", "pruner.kind=none", "trials=3", "train.seed=7"])
    assert definition.space["train.lr"].high == 0.02  # type: ignore[union-attr]
    assert definition.search.pruner.kind == "none"
    assert definition.search.trials == 3
    assert definition.search.settings[-1] == "train.seed=7"


CONDITIONAL = {
    "train.warmup_steps": {"kind": "int", "low": 1, "high": 9, "when": {"train.schedule": ["inverse_sqrt"]}},
    "train.schedule": {"kind": "categorical", "choices": ["linear", "inverse_sqrt"]},
    "train.seed": {"kind": "int", "low": 1, "high": 9, "when": {"train.warmup_steps": 1}},
}


def test_a_conditional_setting_is_suggested_after_its_parent_and_only_where_it_counts() -> None:
    space = space_of(CONDITIONAL)
    assert in_order(space) == ["train.schedule", "train.warmup_steps", "train.seed"]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    points = [suggest(space, study.ask()) for _ in range(60)]
    assert {tuple(point) for point in points} == {
        ("train.schedule",),
        ("train.schedule", "train.warmup_steps"),
        ("train.schedule", "train.warmup_steps", "train.seed"),
    }
    assert all((point["train.schedule"] == "inverse_sqrt") == ("train.warmup_steps" in point) for point in points)
    assert all(("train.seed" in point) == (point.get("train.warmup_steps") == 1) for point in points)


def test_the_default_configuration_is_the_baseline_where_the_space_has_it() -> None:
    space = space_of(
        {
            "train.lr": {"kind": "float", "low": 0.001, "high": 0.1, "log": True},
            "train.batch_units": {"kind": "int", "low": 500, "high": 1000, "step": 500},
            "model.vocab_size": {"kind": "int", "low": 500, "high": 1000},
            "train.label_smoothing": {"kind": "float", "low": 0.0, "high": 0.3, "step": 0.1},
            **CONDITIONAL,
        }
    )
    defaults = {
        "train.lr": 0.002,
        "train.batch_units": 600,
        "model.vocab_size": "auto",
        "train.label_smoothing": 0.1,
        "train.schedule": "linear",
        "train.warmup_steps": 5,
    }
    assert baseline(space, defaults) == {"train.lr": 0.002, "train.label_smoothing": 0.1, "train.schedule": "linear"}


def test_the_corners_hold_every_extreme_value() -> None:
    found = corners(space_of(CONDITIONAL))
    assert {point["train.schedule"] for point in found} == {"linear", "inverse_sqrt"}
    assert {point["train.seed"] for point in found} == {1, 9}


def test_a_point_is_read_by_training_as_it_was_meant() -> None:
    point = {"train.lr": 1e-05, "train.max_minutes": None, "train.seed": 3, "model.prefix": "it's: a, b="}
    config = compose_config([*as_settings(point), "train.max_steps=5"])
    assert (config.train.lr, config.train.max_minutes, config.train.seed) == (1e-05, None, 3)
    assert config.model.prefix == "it's: a, b="


@pytest.mark.parametrize("file", sorted(Path("configs/tune").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_search_that_is_shipped_is_right_and_begins_with_its_command(file: Path) -> None:
    definition = load_definition([f"search={file.stem}"])
    point = choose(definition.space, lambda name, parameter: extremes(parameter)[-1])
    assert compose_config(trial_settings(definition.search, point)).train.validate_every_units
    assert file.read_text(encoding="utf-8").startswith(f"# python -m tune search={file.stem}")


def test_there_is_a_default_search() -> None:
    default = default_search([])
    assert default is not None
    assert load_definition([]).search.study.startswith(default)


def test_a_task_without_a_search_of_its_own_asks_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Translation, "search", None)
    with pytest.raises(ConfigError, match="the task translation has no search of its own: name one with search=NAME"):
        load_definition([])


def test_workers_that_record_or_compute_elsewhere_agree_about_the_study() -> None:
    own = ["tracking.uri=postgresql://u:secret@elsewhere/db", "train.device=cpu", "+train.threads=1"]
    ours, theirs = load_definition([*own, "trials=99"]), load_definition([])
    assert ours.shared == theirs.shared
    assert (ours.own, theirs.own) == (own, [])
    assert load_definition(["train.seed=4"]).shared != theirs.shared
    assert load_definition(["final=[train.max_minutes=3]"]).shared != theirs.shared


def test_the_order_of_settings_makes_no_other_study() -> None:
    one = load_definition(["train.seed=4", "train.clip_norm=2", "train.seed=5"])
    other = load_definition(["train.clip_norm=2", "train.seed=5"])
    assert one.shared == other.shared


def test_a_checkpoint_fits_whatever_the_device_but_no_other_settings() -> None:
    here, there = compose_config(["train.threads=1", "train.device=cpu"]), compose_config([])
    assert training_digest(here) == training_digest(there)
    assert training_digest(compose_config(["train.lr=0.5"])) != training_digest(there)


def test_a_search_on_a_corpus_of_another_task_is_told_its_task() -> None:
    with pytest.raises(ConfigError, match=r"^data=r8 is right with task=text_classification, .*; add task="):
        load_definition(["data=r8", "trials=3"])
