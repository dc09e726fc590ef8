"""The table of tasks: the one place of the core that names them.

It stands below everything that asks it, the bundle's reader included, and imports a task only when one is asked for.
"""

import importlib
from typing import TYPE_CHECKING

from dragoman.errors import BundleError

if TYPE_CHECKING:
    from dragoman.tasks.base import Task

TASKS = {
    "translation": "dragoman.tasks.translation.task:TranslationTask",
}


def task_class(name: str) -> "type[Task]":
    """Return the run-time class of a task; raises BundleError for one that this version does not know."""
    if name not in TASKS:
        raise BundleError(f"the task {name!r} is unknown; this version knows {', '.join(sorted(TASKS))}")
    module, _, class_name = TASKS[name].partition(":")
    found: type[Task] = getattr(importlib.import_module(module), class_name)
    return found
