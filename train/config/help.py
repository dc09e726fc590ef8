"""The text of ``python -m train --help``: written from the settings themselves, so that it cannot lag behind them."""

import dataclasses
import typing
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from dragoman.strict import MISSING, Setting, Variants, describe, describe_range
from train.config.compose import CONFIG_DIR, GROUPS, choices, compose_config
from train.config.imports import IMPORT, OF_TRAINING, TEST_SET, ImportedData, compose_import
from train.config.settings import TrainSettings
from train.task_table import TASKS, find_task

INTRODUCTION = """\
Trains a model and writes it as a bundle; the last line on standard output is 'bundle: PATH'.

{commands}

Settings are key=value; a value with signs or blanks goes in single quotes inside the shell's: "data.path='my file'".
Naming train.max_steps or train.max_units lifts the default of train.max_minutes. SIGTERM and Ctrl-C write a
checkpoint first. Corpora are found in the folder that DRAGOMAN_DATA names, or in data/ of the checkout. The bundle is
on disk before its record is sent; resume= sends a record that could not be sent. Exit status: 0 done, 64 wrong
setting, 65 wrong data, 69 hub or tracking server out of reach, 70 the loss is not a number, 73 cannot write, 130 or
143 stopped by a signal.
"""
COMMANDS = {
    "train import --help": "a bundle from a model that exists already",
    "train resume=RUN_DIR": "go on with a run that was stopped or killed, or send its record",
    "train.evaluate --bundle B --test F --reference F": "score a bundle on two files",
    "train.evaluate --bundle B --test F.parquet": "score a bundle on a held-out set",
}
IMPORT_INTRODUCTION = """\
Makes a bundle of a model that exists already, without any training: reads it, converts it for the engines, scores it on
a test set and writes a run directory; the last line on standard output is 'bundle: PATH'. Then register it:
python -m model_registry register RUN_DIR.

{commands}

The model is a directory in Hugging Face layout: config.json, model.safetensors and its tokenizer's files. No training
corpus is read. The test set is a held-out set that a training or an import wrote (.parquet), two files whose lines
correspond, or a table. Without one the bundle has no scores, and the gate needs items by hand. The same model with the
same settings gives the same version. Exit status: as of python -m train.
"""


def help_text(settings: Sequence[str] = ()) -> str:
    """Write the introduction, the choices of each group, and every setting of a task with its default and meaning."""
    defaults = compose_config(settings)
    task = find_task(defaults.task.name)
    examples = {f"train {settings}".strip(): meaning for settings, meaning in task.commands.items()}
    commands = [f"  {f'python -m {text}':<66} {meaning}".rstrip() for text, meaning in {**examples, **COMMANDS}.items()]
    lines = [INTRODUCTION.format(commands="\n".join(commands)), "Choices:"]
    lines += [f"  {group}={'|'.join(choices(group, CONFIG_DIR))}" for group in GROUPS]
    lines += ["", "Settings of every run, with their defaults:"]
    hints = typing.get_type_hints(task.Settings, include_extras=True)
    for name, hint in hints.items():
        if name not in GROUPS:
            lines += _rows(name, hint, getattr(defaults, name))
    lines += _rows("task", hints["task"], defaults.task)
    for group in ("data", "model"):
        lines += _group_rows(group, hints[group], getattr(defaults, group))
    return "\n".join(lines)


def import_help(settings: Sequence[str] = ()) -> str:
    """Write the introduction of ``python -m train import``, an example for each task, and the settings of one task."""
    config = compose_import([*settings, "model.path=DIRECTORY"])
    examples = {
        f"python -m train {text}": meaning
        for name in TASKS
        for text, meaning in find_task(name).commands.items()
        if text.startswith(f"{IMPORT} ")
    }
    commands = [f"  {text:<98} {meaning}".rstrip() for text, meaning in examples.items()]
    lines = [IMPORT_INTRODUCTION.format(commands="\n".join(commands)), "Settings of every import, with their defaults:"]
    of_data = typing.get_type_hints(ImportedData, include_extras=True)
    lines += [_row(name, _shown(getattr(config.data, name)), of_data[name]) for name in TEST_SET]
    of_training = typing.get_type_hints(TrainSettings, include_extras=True)
    lines += [_row(f"train.{name}", _shown(getattr(config.train, name)), of_training[name]) for name in OF_TRAINING]
    lines += ["", f"Settings of the bundle for task={config.task.name}; --help task=… lists those of another:"]
    for name, hint in typing.get_type_hints(find_task(config.task.name).Settings, include_extras=True).items():
        if name not in ("data", "model", "study", "train"):
            lines += _rows(name, hint, getattr(config, name))
    lines += _rows("model", type(config.model), config.model)
    return "\n".join(lines)


def _group_rows(group: str, hint: Any, default: Any) -> Iterator[str]:
    variants = [note for note in typing.get_args(hint)[1:] if isinstance(note, Variants)]
    if not variants:
        yield from ["", f"Settings of {group}:", *_rows(group, hint, default)]
        return
    found = {}
    for name in choices(group, CONFIG_DIR):
        loaded = yaml.safe_load((CONFIG_DIR / group / f"{name}.yaml").read_text(encoding="utf-8"))
        # A file that also changes settings of other sections has its own under its name.
        found[name] = loaded.get(group, loaded)
    for kind in variants[0].kinds:
        hints = typing.get_type_hints(variants[0].resolve(kind), include_extras=True)
        # Choices of other tasks, which may call a kind the same, have other keys.
        of_kind = {name: own for name, own in found.items() if own.get("kind") == kind and set(own) == set(hints)}
        if of_kind:
            yield from ["", f"Settings of {group}={'|'.join(of_kind)}:"]
            for key, inner in hints.items():
                values = dict.fromkeys(_shown(own[key]) for own in of_kind.values())
                if key != "kind":
                    yield _row(f"{group}.{key}", "|".join(values), inner)


def _shown(value: object) -> str:
    return "required" if value == MISSING else str(yaml.safe_dump(value, default_flow_style=True)).split("\n", 1)[0]


def _rows(name: str, hint: Any, default: Any) -> Iterator[str]:
    if not dataclasses.is_dataclass(hint) or not isinstance(hint, type):
        yield _row(name, _shown(default), hint)
        return
    for key, inner in typing.get_type_hints(hint, include_extras=True).items():
        yield from _rows(f"{name}.{key}", inner, getattr(default, key))


def _row(name: str, default: str, hint: Any) -> str:
    meaning = describe(hint)
    for note in typing.get_args(hint)[1:] if typing.get_origin(hint) is typing.Annotated else ():
        if isinstance(note, Setting):
            bounded = note.minimum is not None or note.maximum is not None
            meaning = f"{note.help}; {meaning}{f', {describe_range(note)}' if bounded else ''}"
    return f"  {f'{name} [{default}]':<44} {meaning}"
