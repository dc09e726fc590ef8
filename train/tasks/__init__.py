"""The training half of every task, by name; ``dragoman.tasks`` holds the half that ships."""

import importlib
from typing import Any

TASKS: dict[str, str] = {"translation": "train.tasks.translation:TranslationTask"}


def task_class(name: str) -> Any:
    """The class of a task; it satisfies ``train.loop.Learner``, and settings have checked its name."""
    module, _, class_name = TASKS[name].partition(":")
    return getattr(importlib.import_module(module), class_name)
