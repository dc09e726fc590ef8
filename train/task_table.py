"""The training half of every task, by name; ``dragoman.task_table`` names the half that ships.

It stands below all that asks it, the composition of settings included; ``train.tasks.base.task_class`` gives the type.
"""

import importlib
from typing import Any

from dragoman.errors import ConfigError

TASKS: dict[str, str] = {
    "translation": "train.tasks.translation.task:Translation",
    "text_classification": "train.tasks.text_classification.task:TextClassification",
    "image_classification": "train.tasks.image_classification.task:ImageClassification",
}


def find_task(name: str) -> Any:
    """Import the class of a task; raises ConfigError naming those there are."""
    if name not in TASKS:
        raise ConfigError(f"task.name must be one of {', '.join(TASKS)}, got {name!r}")
    module, _, class_name = TASKS[name].partition(":")
    return getattr(importlib.import_module(module), class_name)
