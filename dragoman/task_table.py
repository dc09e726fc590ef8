"""The table of tasks, the one place of the core that names them.

It lies below everything that asks it, the bundle's reader included, and imports a task only when one is asked for.
``dragoman.tasks.base.task_class`` is the same lookup with a type, for everybody above the tasks.
"""

import importlib
from typing import Any

from dragoman.errors import BundleError, ConfigError

TASKS = {
    "translation": "dragoman.tasks.translation.task:TranslationTask",
    "text_classification": "dragoman.tasks.text_classification.task:TextClassification",
    "image_classification": "dragoman.tasks.image_classification.task:ImageClassification",
}


def find_task(name: str) -> Any:
    """Return the run-time class of a task; raises BundleError for one that this version does not know.

    Raises ConfigError where the packages of its extra are not installed.
    """
    if name not in TASKS:
        raise BundleError(f"the task {name!r} is unknown; this version knows {', '.join(sorted(TASKS))}")
    module, _, class_name = TASKS[name].partition(":")
    try:
        return getattr(importlib.import_module(module), class_name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("dragoman"):
            raise
        raise ConfigError(
            f"the task {name} needs {error.name}, which is not installed; pip install 'dragoman[{extra_of(name)}]'"
        ) from error


def extra_of(name: str) -> str:
    """Return the extra of pyproject.toml that holds the packages of a task's servers."""
    return name.replace("_", "-")
