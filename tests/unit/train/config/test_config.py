import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from dragoman.errors import ConfigError
from train.config.compose import CONFIG_DIR, GROUPS, choices, compose_config, flatten, load_config, to_yaml
from train.config.help import help_text
from train.task_table import TASKS
from train.tasks.base import task_class
from train.tasks.image_classification import data_kinds as image_kinds
from train.tasks.text_classification import data_kinds
from train.tasks.translation.settings import DATA_KINDS, data_settings

IMAGE_MODELS = ("cnn_", "resnet", "timm")
REQUIRED = {
    "tsv": ["data.path=x.tsv"],
    "jsonl": ["data.path=x.jsonl"],
    "parquet": ["data.path=x.parquet"],
    "labelled": ["data.path=x.csv"],
    "parallel": ["data.source=x.en", "data.target=x.de"],
    "image_folder": ["data.path=x"],
    "image_table": ["data.path=x.csv"],
}


def kind_of(group: str, name: str) -> str:
    loaded = yaml.safe_load((CONFIG_DIR / group / f"{name}.yaml").read_text(encoding="utf-8"))
    return str(loaded.get(group, loaded)["kind"])


@pytest.mark.parametrize(
    ("task", "kinds", "models", "least"),
    [
        ("translation", DATA_KINDS, ("t5_",), 20),
        ("text_classification", data_kinds.DATA_KINDS, ("bert_",), 6),
        ("image_classification", image_kinds.DATA_KINDS, IMAGE_MODELS, 12),
    ],
)
def test_every_combination_of_data_and_model_of_a_task_composes(
    task: str, kinds: Mapping[str, str], models: tuple[str, ...], least: int
) -> None:
    corpora = [data for data in choices("data") if kind_of("data", data) in kinds]
    combinations = [(data, model) for data in corpora for model in choices("model") if model.startswith(models)]
    assert len(combinations) >= least
    for data, model in combinations:
        config = compose_config([f"task={task}", f"data={data}", f"model={model}", *REQUIRED.get(data, [])])
        assert config.model.name == model


def test_every_data_and_model_belongs_to_a_task() -> None:
    assert {kind_of("data", data) for data in choices("data")} == {
        *DATA_KINDS,
        *data_kinds.DATA_KINDS,
        *image_kinds.DATA_KINDS,
    }
    assert all(model.startswith(("t5_", "bert_", *IMAGE_MODELS)) for model in choices("model"))


@pytest.mark.parametrize(
    ("settings", "other"),
    [(["data=r8"], "text_classification"), (["task=text_classification", "model=t5_tiny"], "translation")],
)
def test_a_corpus_or_model_of_another_task_is_told_its_task(settings: list[str], other: str) -> None:
    with pytest.raises(ConfigError, match=f"is right with task={other}, and the task here is .*; add task={other}$"):
        compose_config(settings)


def test_a_task_that_does_not_exist_is_told_the_one_that_was_meant() -> None:
    with pytest.raises(
        ConfigError, match=r"task must be one of .*, got 'text-classification'; did you mean text_class"
    ):
        compose_config(["task=text-classification", "data=r8"])


@pytest.mark.parametrize(("named", "instead"), [([], ""), (["data=csv"], ", not data=csv")])
def test_settings_of_a_corpus_that_is_not_named_are_told_its_name(named: list[str], instead: str) -> None:
    message = f"^data.path=x.csv is right with data=labelled or data=r8; add data=labelled or data=r8{instead}$"
    with pytest.raises(ConfigError, match=message):
        compose_config(["task=text_classification", *named, "data.path=x.csv"])


@pytest.mark.parametrize("text", ["data.text_column=title,body", "data.delimiter=;"])
def test_a_value_that_cannot_be_read_is_told_how_lists_and_signs_are_written(text: str) -> None:
    with pytest.raises(ConfigError, match=r"or a list as \[a,b\]; signs in .* inside the shell's, \"key='a;b'\""):
        compose_config(["task=text_classification", "data=labelled", "data.path=x.csv", text])


def test_the_kinds_of_data_in_the_configs_are_those_of_the_table() -> None:
    kinds = {kind_of("data", name) for name in choices("data")}
    assert kinds == {*DATA_KINDS, *data_kinds.DATA_KINDS, *image_kinds.DATA_KINDS}
    assert all(hasattr(data_settings(kind), "read") for kind in DATA_KINDS)
    assert all(hasattr(data_kinds.data_settings(kind), "read") for kind in data_kinds.DATA_KINDS)
    assert all(hasattr(image_kinds.data_settings(kind), "read") for kind in image_kinds.DATA_KINDS)


def test_every_config_file_begins_with_its_command() -> None:
    files = list(CONFIG_DIR.rglob("*.yaml"))
    assert len(files) >= 14
    for file in files:
        # Hydra wants its own line before any other.
        lines = file.read_text(encoding="utf-8").removeprefix("# @package _global_\n")
        command = {"tune": "tune"}.get(file.relative_to(CONFIG_DIR).parts[0], "train")
        assert lines.startswith(f"# python -m {command} "), file


def test_both_halves_of_a_task_have_the_same_names_and_a_config() -> None:
    from dragoman.task_table import TASKS as RUN_TIME_TASKS

    assert set(TASKS) == set(RUN_TIME_TASKS) == set(choices("task"))


def test_all_mistakes_are_reported_at_once_with_what_is_accepted() -> None:
    wrong = ["data=phrasbook", "train.max_step=4", "train.lr=fast", "train.seed=-1", "foo=1", "train.device=tpu"]
    with pytest.raises(ConfigError) as caught:
        compose_config([*wrong, "train.x=[1", "novalue", "train=4"])
    message = str(caught.value)
    assert message.startswith("9 settings are wrong")
    assert "did you mean phrasebook?" in message
    assert "did you mean max_steps?" in message
    assert "train.lr must be a number, got 'fast'" in message
    assert "train.seed must be at least 0, got -1" in message
    assert "train.device must be one of auto, cpu, cuda, got 'tpu'" in message
    assert "foo is not a setting" in message
    assert "'novalue' is not a setting" in message


def test_contradictions_are_reported_when_every_single_value_is_fine() -> None:
    with pytest.raises(ConfigError, match=r"decoding\.num_beams must be at most limits\.max_beams, 2, got 4"):
        compose_config(["decoding.num_beams=4", "limits.max_beams=2"])
    with pytest.raises(ConfigError, match="name must be lower-case"):
        compose_config(["name=Not_Good"])
    with pytest.raises(ConfigError, match="all null"):
        compose_config(["train.max_minutes=null"])


@pytest.mark.parametrize("setting", ["train.max_minutes=inf", "train.lr=nan", "decoding.length_penalty=inf"])
def test_a_number_that_is_not_finite_is_refused(setting: str) -> None:
    key, _, value = setting.partition("=")
    with pytest.raises(ConfigError, match=rf"{key} must be a finite number, got {value}"):
        compose_config([setting])


def test_a_length_penalty_that_no_request_could_have_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"decoding\.length_penalty must be between 0 and 5, got 5\.5"):
        compose_config(["decoding.length_penalty=5.5"])


def test_a_prefix_that_names_other_languages_than_the_task_is_refused() -> None:
    swapped = ["model=t5_small", "task.source=de", "task.target=en"]
    with pytest.raises(ConfigError, match=r"from de to en.*model\.prefix='translate German to English: '"):
        compose_config(swapped)
    config = compose_config([*swapped, "model.prefix='translate German to English: '"])
    assert config.model.prefix == "translate German to English: "


def test_a_setting_that_was_counted_in_tokens_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"train\.batch_tokens is not a setting; .*did you mean batch_units\?"):
        compose_config(["train.batch_tokens=4"])


@pytest.mark.parametrize("setting", ["gate.margin=2", "gate=null", "demo.minutes=1"])
def test_what_others_read_in_the_file_of_a_task_is_no_setting_of_training(setting: str) -> None:
    with pytest.raises(ConfigError, match=r"is not a setting of training: python -m \S+ reads it from configs/task"):
        compose_config([setting])


def test_a_task_chooses_its_own_data_and_model_and_the_command_line_others() -> None:
    config = compose_config([])
    assert (config.data.name, config.model.name) == ("phrasebook", "t5_tiny")
    config = compose_config(["task=translation", "data=multi30k", "model=t5_small"])
    assert (config.data.name, config.model.name) == ("multi30k", "t5_small")
    main = yaml.safe_load((CONFIG_DIR / "config.yaml").read_text(encoding="utf-8"))
    assert set(main) == {"defaults", "run_dir", "study", "train", "tracking"}


def test_an_unknown_task_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        ConfigError, match=r"task\.name must be one of translation, text_classification, image.*, got 'poetry'"
    ):
        compose_config(["task.name=poetry"])
    with pytest.raises(ConfigError, match=r"task must be one of image_classification, text_class.*, translation, got"):
        compose_config(["task=poetry"])
    with pytest.raises(ConfigError, match="poetry"):
        task_class("poetry")


def test_no_default_names_a_folder_outside_the_checkout() -> None:
    files = list(CONFIG_DIR.rglob("*.yaml"))
    assert files
    assert not [file for file in files if "../" in file.read_text(encoding="utf-8")]
    assert "../" not in help_text()


def test_a_required_setting_is_asked_for_with_its_meaning() -> None:
    with pytest.raises(ConfigError, match=r"data\.path is required and not set \(the training file\)"):
        compose_config(["data=tsv"])


@pytest.mark.parametrize("override", ["train.seed=1,2", "+train.nope=3", "~train.seed", "hydra.run.dir=x"])
def test_what_hydra_would_accept_silently_is_refused(override: str) -> None:
    with pytest.raises(ConfigError):
        compose_config([override])


def test_naming_one_limit_lifts_the_default_of_the_other() -> None:
    assert compose_config([]).train.max_minutes == 20
    assert compose_config(["train.max_steps=5"]).train.max_minutes is None
    both = compose_config(["train.max_steps=5", "train.max_minutes=0.5"]).train
    assert (both.max_steps, both.max_minutes) == (5, 0.5)


def test_a_model_brings_the_settings_that_suit_it_and_the_command_line_has_the_last_word() -> None:
    tiny, small = compose_config([]).train, compose_config(["model=t5_small"]).train
    assert small.lr < tiny.lr
    assert compose_config(["model=t5_small", "train.lr=0.25"]).train.lr == 0.25


def test_the_columns_follow_the_languages_unless_they_are_named() -> None:
    config = compose_config(["data=tsv", "data.path=x", "task.source=fr", "data.target_column=ziel"])
    assert (config.data.source_column, config.data.target_column) == ("fr", "ziel")
    assert config.name == "translation-fr-de"


def test_a_path_with_signs_is_taken_in_quotes() -> None:
    assert compose_config(["data=tsv", "data.path='my (old) file.tsv'"]).data.path == "my (old) file.tsv"


def test_a_written_config_reads_back_as_the_same(tmp_path: Path) -> None:
    config = compose_config(["data=newstest", "model=t5_small", "train.max_minutes=1.5"])
    (tmp_path / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    assert load_config(tmp_path / "config.yaml") == config


def test_the_portable_config_does_not_say_where_it_ran() -> None:
    here, there = (
        compose_config(["run_dir=a", "tracking.uri=b"]),
        compose_config(["run_dir=c", "tracking.enabled=false"]),
    )
    assert to_yaml(here, portable=True) == to_yaml(there, portable=True)
    assert to_yaml(here) != to_yaml(there)


def test_a_directory_without_a_run_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no run"):
        load_config(tmp_path / "config.yaml")


def test_help_names_every_setting_and_choice() -> None:
    text = help_text()
    missing = [key for key in flatten(compose_config([])) if not key.endswith(".kind") and key not in text]
    assert missing == []
    assert all(name in text for group in GROUPS for name in choices(group))


def test_the_help_of_a_task_passes_over_the_data_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = help_text().splitlines()
    shutil.copytree(CONFIG_DIR, tmp_path / "configs")
    data = tmp_path / "configs" / "data"
    # Of a task whose data has no kinds, and of one that calls a kind as this task does.
    (data / "numbers.yaml").write_text("name: numbers\n", encoding="utf-8")
    (data / "news.yaml").write_text("kind: table\nname: news\npath: ???\nlabels: 4\n", encoding="utf-8")
    monkeypatch.setattr("train.config.help.CONFIG_DIR", tmp_path / "configs")
    after = help_text().splitlines()
    assert [line for line in after if not line.startswith("  data=")] == [
        line for line in before if not line.startswith("  data=")
    ]


def test_composing_neither_moves_nor_writes_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    compose_config([])
    assert Path.cwd() == tmp_path
    assert list(tmp_path.iterdir()) == []
