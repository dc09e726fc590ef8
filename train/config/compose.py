"""Composition of a run's configuration from ``configs/`` and ``key=value`` settings; all mistakes are told at once."""

import dataclasses
import functools
import hashlib
import json
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dragoman.errors import ConfigError
from dragoman.strict import did_you_mean, parse
from train.config.settings import IMPORTED, Config
from train.task_table import TASKS, find_task

CONFIG_DIR = Path(__file__).resolve().parents[2] / "configs"
GROUPS = ("task", "data", "model")
MAIN = "config"
HOW_TO_WRITE = "give one value, or a list as [a,b]; signs in single quotes inside the shell's, \"key='a;b'\""
# Sections of a task's file that others read, and who.
OF_OTHERS = {
    "gate": "python -m model_registry reads it from configs/task, or from --gate FILE",
    "demo": "python -m deploy.demos.road reads it from configs/task",
}


def compose_config(settings: Sequence[str], *, config_dir: Path = CONFIG_DIR) -> Config:
    """Compose the configuration for ``key=value`` settings; raises one ConfigError that lists everything wrong."""
    task = chosen_task(settings, config_dir)
    try:
        return _compose(settings, task, config_dir)
    except ConfigError:
        # A corpus or a model of another task would give a list of riddles.
        others = [text for text in settings if not text.startswith("task=")]
        elsewhere = right_elsewhere(others, task, config_dir)
        if elsewhere:
            raise ConfigError(elsewhere) from None
        data = [text for text in others if text.startswith("data=")]
        rest = [text for text in others if text not in data]
        if not any(text.partition("=")[2] in choices("data", config_dir) for text in data):
            corpora = _fitting_corpora(rest, task, config_dir)
            if corpora:
                known, instead = " or ".join(corpora), f", not {data[-1]}" if data else ""
                raise ConfigError(f"{' '.join(rest)} is right with {known}; add {known}{instead}") from None
        raise


def _fitting_corpora(settings: Sequence[str], task: str, config_dir: Path) -> list[str]:
    """List the choices of ``data`` with which settings of an unnamed corpus are right, such as ``data.path`` alone."""
    if not any(text.startswith("data.") for text in settings):
        return []
    found = [f"data={name}" for name in choices("data", config_dir)]
    return [text for text in found if _composes([*settings, text, f"task={task}"], task, config_dir)]


def right_elsewhere(settings: Sequence[str], task: str, config_dir: Path = CONFIG_DIR) -> str | None:
    """Say with which other task settings that name none are right, if there is one."""
    if not settings or task not in TASKS:
        return None
    fitting = [name for name in TASKS if name != task and _composes([*settings, f"task={name}"], name, config_dir)]
    if not fitting:
        return None
    known = " or ".join(f"task={name}" for name in fitting)
    return f"{' '.join(settings)} is right with {known}, and the task here is {task}; add {known}"


def _composes(settings: Sequence[str], task: str, config_dir: Path) -> bool:
    try:
        _compose(settings, task, config_dir)
    except ConfigError:
        return False
    return True


def _compose(settings: Sequence[str], task: str, config_dir: Path) -> Config:
    problems: list[str] = []
    hints = typing.get_type_hints(find_task(task).Settings if task in TASKS else Config)
    sections = {key for key, hint in hints.items() if dataclasses.is_dataclass(hint)} - set(GROUPS)
    found = [_override(text, sections, config_dir, problems) for text in settings]
    overrides = [override for override in found if override is not None]
    # Naming another limit of training lifts the default one.
    named = {override.removeprefix("++").partition("=")[0] for override in overrides}
    if named & {"train.max_steps", "train.max_units"} and "train.max_minutes" not in named:
        overrides.append("++train.max_minutes=null")
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(config_dir)):
            composed: Any = OmegaConf.to_container(compose(MAIN, overrides=overrides), resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise config_error([*problems, " ".join(str(error).split())]) from error
    return _checked({key: item for key, item in composed.items() if key not in OF_OTHERS}, problems)


def load_config(path: Path) -> Config:
    """Read the configuration that a run wrote into its directory; raises ConfigError when it cannot be read."""
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path.parent} holds no run: it has no {path.name}; give the directory of a run that was started"
        ) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read {path}: {error}; give the directory of a run") from error
    data = value.get("data") if isinstance(value, Mapping) else None
    if isinstance(data, Mapping) and data.get("kind") == IMPORTED:
        raise ConfigError(
            f"{path.parent} is an import, which has nothing to go on with; register its bundle: "
            f"python -m model_registry register {path.parent}"
        )
    return _checked(value, [])


def to_yaml(config: Config, *, portable: bool = False) -> str:
    """Write the configuration as YAML; ``portable`` leaves out where the run and its records were kept.

    The portable form goes into the bundle, so that the same training gives the same bytes wherever it ran.
    """
    value = _sections(config)
    if portable:
        del value["run_dir"], value["tracking"]
    # YAML's safe writer knows no tuples, JSON makes lists of them.
    text: str = yaml.safe_dump(json.loads(json.dumps(value)), sort_keys=False, allow_unicode=True, width=120)
    return text


def config_digest(config: Config) -> str:
    """Compute the sha256 of the configuration without the places it was run and recorded at."""
    return hashlib.sha256(to_yaml(config, portable=True).encode("utf-8")).hexdigest()


def training_digest(config: Config) -> str:
    """Compute the sha256 of what a checkpoint depends on: another machine may resume it, on a device of its own."""
    anywhere = dataclasses.replace(config.train, device="auto", threads="auto")
    return config_digest(dataclasses.replace(config, train=anywhere))


def flatten(config: Config) -> dict[str, object]:
    """List every setting by its dotted name."""

    def walk(value: Any, where: str) -> list[tuple[str, object]]:
        if isinstance(value, Mapping):
            return [pair for key in value for pair in walk(value[key], f"{where}.{key}" if where else key)]
        return [(where, value)]

    return dict(walk(_sections(config), ""))


def _sections(config: Config) -> dict[str, Any]:
    value = dataclasses.asdict(config)
    if value["data"].get("kind") == IMPORTED:
        del value["train"]  # nothing was trained
    return value


def chosen_task(settings: Sequence[str], config_dir: Path = CONFIG_DIR) -> str:
    """Name the task that ``key=value`` settings are for, whether it exists or not."""
    asked = [text.partition("=")[2] for text in settings if text.startswith("task=")]
    if asked:
        return asked[-1]
    defaults = yaml.safe_load((config_dir / f"{MAIN}.yaml").read_text(encoding="utf-8"))["defaults"]
    name: str = next(entry["task"] for entry in defaults if isinstance(entry, Mapping) and "task" in entry)
    return name


def choices(group: str, config_dir: Path = CONFIG_DIR) -> list[str]:
    """List the names that ``group=`` accepts."""
    return sorted(path.stem for path in (config_dir / group).glob("*.yaml"))


def _override(text: str, sections: set[str], config_dir: Path, problems: list[str]) -> str | None:
    """Rewrite one setting for Hydra, or return None with the problem noted."""
    key, equals, value = text.partition("=")
    key = key.strip().lstrip("+")
    if not equals or not key or key.startswith("~"):
        problems.append(f"{text!r} is not a setting: write key=value, such as train.max_steps=2000")
        return None
    if key == "hydra" or key.startswith("hydra."):
        problems.append(f"{key} is not a setting: Hydra composes here and does nothing else")
        return None
    section = key.partition(".")[0]
    if section in OF_OTHERS:
        problems.append(f"{key} is not a setting of training: {OF_OTHERS[section]}")
        return None
    if key in sections:
        problems.append(f"{key} is a group of settings: write {key}.SETTING=value, got {text!r}")
        return None
    if key in GROUPS and value not in choices(key, config_dir):
        known = choices(key, config_dir)
        problems.append(f"{key} must be one of {', '.join(known)}, got {value!r}{did_you_mean(value, known)}")
        return None
    # The value is set, known key or not: the dataclasses find the unknown ones, and all of them at once.
    override = text if key in GROUPS else f"++{key}={value}"
    try:
        if override_parser().parse_override(override).is_sweep_override():
            raise HydraException("it lists several values")
    except HydraException as error:
        reason = str(error).splitlines()[0].rstrip(".")
        problems.append(f"{text!r} cannot be read ({reason}): {HOW_TO_WRITE}")
        return None
    return override


@functools.cache
def override_parser() -> OverridesParser:
    """Return Hydra's parser of one ``key=value``."""
    return OverridesParser.create()


def _checked(value: object, problems: list[str]) -> Config:
    task = value.get("task") if isinstance(value, Mapping) else None
    name = task.get("name") if isinstance(task, Mapping) else None
    if name not in TASKS:
        raise config_error([*problems, f"task.name must be one of {', '.join(TASKS)}, got {name!r}"])
    parsed = parse(value, find_task(name).Settings)
    problems = [*problems, *parsed.problems]
    if not parsed.problems:
        problems += parsed.value.problems()
    if problems:
        raise config_error(problems)
    config: Config = parsed.value
    return config


def config_error(problems: Sequence[str]) -> ConfigError:
    """Make one error of everything that is wrong with the settings."""
    if len(problems) == 1:
        return ConfigError(f"{problems[0]} (python -m train --help lists the settings)")
    listed = "\n".join(f"  - {problem}" for problem in problems)
    return ConfigError(f"{len(problems)} settings are wrong (python -m train --help lists them):\n{listed}")
