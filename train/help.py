"""The text of ``python -m train --help``: written from the settings themselves, so that it cannot lag behind them."""

import dataclasses
import typing
from collections.abc import Iterator
from typing import Any

from train.config import GROUPS, choices, compose_config
from train.settings import MODEL_KINDS, Config
from train.sources import KINDS, settings_class
from train.strict import Setting, describe, describe_range

INTRODUCTION = """\
Trains a model and writes it as a bundle; the last line on standard output is 'bundle: PATH'.

  python -m train                                                  the embedded phrasebook, t5_tiny, twenty minutes
  python -m train train.max_minutes=2                              the same, in two minutes
  python -m train data=multi30k model=t5_tiny train.max_steps=4000
  python -m train data=parallel data.source=corpus.en data.target=corpus.de
  python -m train data=tsv data.path=pairs.tsv data.source_column=english data.target_column=german
  python -m train data=wmt19 data.max_rows=500000 model=t5_small train.lr=0.0005
  python -m train model=t5_small model.path=DIRECTORY               pretrained weights from a local directory
  python -m train resume=RUN_DIR                                   go on with a run that was stopped or killed
  python -m train.evaluate --bundle B --source F --reference F     score a bundle

Settings are key=value; a value with signs or blanks goes in single quotes inside the shell's: "data.path='my file'".
Naming one of train.max_steps and train.max_minutes lifts the default of the other. SIGTERM and Ctrl-C write a
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
    for kind in KINDS:
        lines += ["", f"Settings of data, kind {kind}:", *_rows("data", settings_class(kind), None)]
    for kind, settings in MODEL_KINDS.items():
        lines += ["", f"Settings of model, kind {kind}:", *_rows("model", settings, None)]
    return "\n".join(lines)


def _rows(name: str, hint: Any, default: Any) -> Iterator[str]:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        for key, inner in typing.get_type_hints(hint, include_extras=True).items():
            if key != "kind":
                yield from _rows(f"{name}.{key}", inner, None if default is None else getattr(default, key))
        return
    value = "" if default is None else f" [{str(default).lower() if isinstance(default, bool) else default}]"
    yield f"  {name + value:<44} {_meaning(hint)}"


def _meaning(hint: Any) -> str:
    parts = [describe(hint)]
    for note in typing.get_args(hint)[1:] if typing.get_origin(hint) is typing.Annotated else ():
        if isinstance(note, Setting):
            bounded = note.minimum is not None or note.maximum is not None
            parts = [note.help, parts[0] + (f", {describe_range(note)}" if bounded else "")]
    return "; ".join(parts)
