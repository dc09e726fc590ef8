"""The training half of every task, by name; ``dragoman.task_table`` names the half that ships."""

import importlib
from typing import TYPE_CHECKING

from dragoman.errors import ConfigError

if TYPE_CHECKING:
    from train.tasks.base import Task

TASKS: dict[str, str] = {
    "translation": "train.tasks.translation.task:Translation",
}


def task_class(name: str) -> type["Task"]:
    """Return the class of a task; raises ConfigError naming those there are."""
    if name not in TASKS:
        raise ConfigError(f"task.name must be one of {', '.join(TASKS)}, got {name!r}")
    module, _, class_name = TASKS[name].partition(":")
    found: type[Task] = getattr(importlib.import_module(module), class_name)
    return found
