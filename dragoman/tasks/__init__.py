"""The run-time half of every task: what a request means and how its answer looks.

A task is a pair of small modules with the same name, this half and the training half in ``train/tasks``, and one YAML
in ``configs/task``. The servers know none of them: the manifest of a bundle names its task, and this table finds it.
"""

import importlib
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol

from dragoman.bundle import Bundle
from dragoman.errors import BundleError
from dragoman.outcomes import Failure, OnOutcome, Result

TASKS = {"translation": "dragoman.tasks.translation:TranslationTask"}


class Input(Protocol):
    """One input of a caller, prepared: the items that the engine computes for it, at least one."""

    @property
    def items(self) -> Sequence[Any]:
        """The items, in order."""
        ...


class Request(Protocol):
    """A parsed request: its inputs, each with the field that names it in errors."""

    @property
    def inputs(self) -> Sequence[Input]:
        """The prepared inputs, in the order of the request."""
        ...

    @property
    def fields(self) -> Sequence[str]:
        """The field of each input."""
        ...

    @property
    def items(self) -> Sequence[Any]:
        """The items of all inputs, in order."""
        ...


class Task(Protocol):
    """One task over one bundle and engine; every method may be called from several threads."""

    text_fields: frozenset[str]
    """The fields that stay text in a form, where numbers and booleans have no type of their own."""

    def prepare(self, item: Any) -> Input:
        """Check one input and make it ready for the engine; raises InvalidInput."""
        ...

    def parse(self, payload: Any) -> Request:
        """Turn a decoded request body into prepared inputs; raises InvalidInput naming the field."""
        ...

    def run(
        self, items: Sequence[Any], *, deadline: float | None = None, on_outcome: OnOutcome | None = None
    ) -> list[Result | Failure]:
        """One outcome per item, in order; what has not begun at ``deadline`` (``time.monotonic``) is a Failure.

        ``on_outcome`` gets items with their outcomes as soon as they are known, in any thread, where some are known
        before the others.
        """
        ...

    def batch_key(self, item: Any) -> Hashable:
        """Items of equal keys may be computed in one batch."""
        ...

    def output_tokens(self, result: Result) -> int:
        """How many tokens the model gave for an item."""
        ...

    def assemble(self, prepared: Any, outcomes: Sequence[Result | Failure]) -> Result | Failure:
        """The outcome of an input from those of its items, in order."""
        ...

    def render(self, request: Request, results: Sequence[Result]) -> dict[str, Any]:
        """The response body of a request whose inputs all succeeded, from one result each."""
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
