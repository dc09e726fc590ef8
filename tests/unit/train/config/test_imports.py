"""The settings of an import, and the help that lists them."""

from pathlib import Path

import pytest

from dragoman.errors import ConfigError
from train.config.compose import load_config, to_yaml
from train.config.help import help_text, import_help
from train.config.imports import ImportedData, compose_import


def test_a_model_is_all_that_an_import_needs() -> None:
    config = compose_import(["model.path=models/mine"])
    assert (config.model.kind, config.model.name, config.model.path) == ("pretrained", "mine", "models/mine")
    assert config.data == ImportedData()
    # There `register` looks for the model of a bundle that names no run.
    assert config.tracking.experiment == config.name == "translation-en-de"


def test_the_rest_of_the_bundle_can_be_set() -> None:
    config = compose_import(
        [
            *("task=translation", "task.source=fr", "model.prefix=''", "decoding.num_beams=4", "name=mine"),
            *("model.path=x", "model.name=big", "tracking.experiment=other", "train.threads=1"),
        ]
    )
    assert (config.task.source, config.model.prefix, config.decoding.num_beams) == ("fr", "", 4)  # type: ignore[attr-defined]
    assert (config.name, config.model.name, config.tracking.experiment) == ("mine", "big", "other")
    assert config.train.threads == 1


def test_a_test_set_has_files_columns_and_a_name() -> None:
    data = compose_import(["model.path=x", "test='my set.v2.csv.gz'", "columns=[text,label]"]).data
    assert (data.files, data.columns, data.name) == ([Path("my set.v2.csv.gz")], ("text", "label"), "my set")
    data = compose_import(["model.path=x", "test=a/t.en", "reference=a/t.de"]).data
    assert (data.files, data.name) == ([Path("a/t.en"), Path("a/t.de")], "t")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["task=translation"], r"model\.path is required: the directory of the model"),
        (["model.path=x", "data=wmt19"], "data is no setting of an import, which trains nothing and reads no corpus"),
        (["model.path=x", "train.lr=1"], r"train\.lr is no setting of an import"),
        (["model.path=x", "reference=y"], "give the first as well, test=FILE"),
        (["model.path=x", "test=y", "columns=[a]"], r"columns must be two, \[INPUT,REFERENCE\]"),
        (["model.path=x", "tets=y"], "tets is not a setting"),
        (["model.path=x", "task=nothing"], "task must be one of"),
        (["model.path=x", "model=t5_tiny"], r"model\.path is not a setting"),
    ],
)
def test_a_wrong_setting_is_named_with_what_to_do(settings: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compose_import(settings)


def test_the_configuration_of_an_import_has_nothing_of_training_and_is_not_resumed(tmp_path: Path) -> None:
    path = tmp_path / "run" / "config.yaml"
    path.parent.mkdir()
    path.write_text(to_yaml(compose_import(["model.path=x"])), encoding="utf-8")
    assert "train:" not in path.read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match=r"is an import, .*model_registry register .*run"):
        load_config(path)


def test_the_help_of_an_import_has_an_example_for_each_task_and_the_settings_of_one() -> None:
    text = import_help()
    assert "python -m train import task=translation model.path=DIRECTORY" in text
    for setting in ("test [null]", "columns [null]", "model.prefix ", "limits.max_items ", "train.threads [auto]"):
        assert f"\n  {setting}" in text
    assert "\n  train.lr" not in text
    assert "train import --help" in help_text()
