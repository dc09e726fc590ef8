"""The text of ``python -m train --help``: written from the settings themselves, so that it cannot lag behind them."""

import dataclasses
import typing
from collections.abc import Iterator
from typing import Any

import yaml

from train.config import CONFIG_DIR, GROUPS, choices, compose_config
from train.settings import MODEL_KINDS, Config
from train.strict import MISSING, Setting, describe, describe_range
from train.tasks.translation.sources import settings_class

INTRODUCTION = """\
Trains a model and writes it as a bundle; the last line on standard output is 'bundle: PATH'.

  python -m train                                                  the embedded phrasebook, t5_tiny, twenty minutes
  python -m train train.max_minutes=2                              the same, in two minutes
  python -m train data=multi30k model=t5_tiny train.max_steps=4000
  python -m train data=parallel data.source=corpus.en data.target=corpus.de
  python -m train data=tsv data.path=pairs.tsv data.source_column=english data.target_column=german
  python -m train data=wmt19 data.max_rows=500000 model=t5_small
  python -m train model=t5_small model.path=DIRECTORY               pretrained weights from a local directory
  python -m train resume=RUN_DIR                                   go on with a run that was stopped or killed
  python -m train.evaluate --bundle B --source F --reference F     score a bundle

Settings are key=value; a value with signs or blanks goes in single quotes inside the shell's: "data.path='my file'".
Naming train.max_steps or train.max_tokens lifts the default of train.max_minutes. SIGTERM and Ctrl-C write a
checkpoint first. Exit status: 0 done, 64 wrong setting, 65 wrong data, 69 hub or tracking server out of reach,
70 the loss is not a number, 73 cannot write, 130 or 143 stopped by a signal.
"""


def help_text() -> str:
    """The introduction, the choices of each group, and every setting with its default and meaning."""
    lines = [INTRODUCTION, "Choices:"]
    lines += [f"  {group}={'|'.join(choices(group))}" for group in GROUPS]
    lines += ["", "Settings of every run, with their defaults:"]
    defaults = compose_config([])
    for field in dataclasses.fields(Config):
        if field.name not in ("task", "data", "model"):
            hint = typing.get_type_hints(Config, include_extras=True)[field.name]
            lines += _rows(field.name, hint, getattr(defaults, field.name))
    lines += _rows("task", type(defaults.task), defaults.task)
    for group, resolve in (("data", settings_class), ("model", MODEL_KINDS.__getitem__)):
        for kind, names in _choices_by_kind(group).items():
            lines += ["", f"Settings of {group}={'|'.join(names)}:"]
            defaults_of = [_yaml(group, name) for name in names]
            for key, hint in typing.get_type_hints(resolve(kind), include_extras=True).items():
                values = list(dict.fromkeys(_shown(defaults[key]) for defaults in defaults_of))
                if key != "kind":
                    lines.append(_row(f"{group}.{key}", "|".join(values), hint))
    return "\n".join(lines)


def _choices_by_kind(group: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in choices(group):
        found.setdefault(_yaml(group, name)["kind"], []).append(name)
    return found


def _yaml(group: str, name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((CONFIG_DIR / group / f"{name}.yaml").read_text(encoding="utf-8"))
    # A file that also changes settings of other sections has its own under its name.
    own: dict[str, Any] = loaded.get(group, loaded)
    return own


def _shown(value: object) -> str:
    return "required" if value == MISSING else str(yaml.safe_dump(value, default_flow_style=True)).split("\n", 1)[0]


def _rows(name: str, hint: Any, default: Any) -> Iterator[str]:
    if not dataclasses.is_dataclass(hint) or not isinstance(hint, type):
        yield _row(name, _shown(default), hint)
        return
    for key, inner in typing.get_type_hints(hint, include_extras=True).items():
        yield from _rows(f"{name}.{key}", inner, getattr(default, key))


def _row(name: str, default: str, hint: Any) -> str:
    return f"  {f'{name} [{default}]':<44} {_meaning(hint)}"


def _meaning(hint: Any) -> str:
    parts = [describe(hint)]
    for note in typing.get_args(hint)[1:] if typing.get_origin(hint) is typing.Annotated else ():
        if isinstance(note, Setting):
            bounded = note.minimum is not None or note.maximum is not None
            parts = [note.help, parts[0] + (f", {describe_range(note)}" if bounded else "")]
    return "; ".join(parts)
