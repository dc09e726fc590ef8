"""The table of tasks, the one place of the core that names them.

It lies below everything that asks it, the bundle's reader included, and imports a task only when one is asked for.
``dragoman.tasks.base.task_class`` is the same lookup with a type, for everybody above the tasks.
"""

import importlib
from typing import Any

from dragoman.errors import BundleError

TASKS = {
    "translation": "dragoman.tasks.translation.task:TranslationTask",
    "text_classification": "dragoman.tasks.text_classification.task:TextClassification",
}


def find_task(name: str) -> Any:
    """Return the run-time class of a task; raises BundleError for one that this version does not know."""
    if name not in TASKS:
        raise BundleError(f"the task {name!r} is unknown; this version knows {', '.join(sorted(TASKS))}")
    module, _, class_name = TASKS[name].partition(":")
    return getattr(importlib.import_module(module), class_name)
