"""The run-time half of every task: what a request means and how its answer looks.

A task is a pair of small modules with the same name, this half and the training half in ``train/tasks``, and one YAML
in ``configs/task``. The servers know none of them: the manifest of a bundle names its task, and this table finds it.
"""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dragoman.bundle import Bundle
from dragoman.errors import BundleError, DragomanError

TASKS = {"translation": "dragoman.tasks.translation:TranslationTask"}


@dataclass(frozen=True)
class Result:
    """What the model made of one item."""

    value: Any


@dataclass(frozen=True)
class Failure:
    """Why one item has no result; its neighbours are not touched."""

    error: DragomanError


class Request(Protocol):
    """A parsed request: its items, ready for the engine."""

    @property
    def items(self) -> Sequence[Any]:
        """The prepared items, in the order of the request."""
        ...


class Task(Protocol):
    """One task over one bundle and engine; every method may be called from several threads."""

    text_fields: frozenset[str]
    """The fields that stay text in a form, where numbers and booleans have no type of their own."""

    def prepare(self, item: Any) -> Any:
        """Check one item and make it ready for the engine; raises InvalidInput."""
        ...

    def parse(self, payload: Any) -> Request:
        """Turn a decoded request body into prepared items; raises InvalidInput naming the field."""
        ...

    def run(self, items: Sequence[Any]) -> list[Result | Failure]:
        """One outcome per prepared item, in order."""
        ...

    def render(self, request: Request, results: Sequence[Result]) -> dict[str, Any]:
        """The response body of a request whose items all succeeded."""
        ...

    def example(self) -> Any:
        """An item that warms the engine up."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """What is loaded, for logs and commands."""
        ...

    def close(self) -> None:
        """Free the engine."""
        ...


def open_task(bundle: Bundle, *, engine: str, device: str) -> Task:
    """Load the task that a bundle's manifest names; raises BundleError when this version does not know it."""
    name = bundle.manifest.task
    if name not in TASKS:
        raise BundleError(f"{bundle.path} is for the task {name!r}; this version knows {', '.join(sorted(TASKS))}")
    module, _, class_name = TASKS[name].partition(":")
    task: Task = getattr(importlib.import_module(module), class_name)(bundle, engine=engine, device=device)
    return task
