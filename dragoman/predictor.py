"""Loading a bundle, and the predictor that every server and command calls."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman.batching.computing import Computing
from dragoman.bundle.store import Bundle, open_bundle
from dragoman.errors import DragomanError, InferenceError
from dragoman.items.outcomes import Failure, OnOutcome, Result
from dragoman.tasks.base import Task, task_class

# Items of a long list that are answered together: enough for well-filled batches, few enough that progress moves.
ITEMS_AT_ONCE = 512


def load(bundle: str | Path | Bundle, engine: str = "auto", device: str = "auto") -> "Predictor":
    """Verify a bundle and load it: ``engine`` is auto or one that its task names, ``device`` is auto, cpu or cuda.

    A Bundle was verified when it was opened. Raises BundleError when the bundle is damaged or not signed as the
    configured public key demands, and ConfigError when the engine or device is not available here.
    """
    bundle = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    return Predictor(bundle, task_class(bundle.manifest.task)(bundle, engine=engine, device=device))


class Predictor:
    """A loaded model: call it with inputs, get one Result or Failure each, in order. Threads may share it."""

    def __init__(self, bundle: Bundle, task: Task) -> None:
        self.bundle = bundle
        self.task = task
        self.computing = Computing(task)

    def __call__(self, items: Sequence[Any], prepare: Callable[[Any], Any] | None = None) -> list[Result | Failure]:
        """Answer a list of inputs; a bad one is a Failure in its own slot and harms no other.

        ``prepare`` makes an item ready in another way than ``Task.prepare`` does, with the parameters of a request say.
        """
        prepare = prepare or self.task.prepare
        inputs: list[Any] = []
        for item in items:
            try:
                inputs.append(prepare(item))
            except DragomanError as error:
                inputs.append(Failure(error))
        outcomes = iter(self.run([part for entry in inputs if not isinstance(entry, Failure) for part in entry.items]))
        return [
            entry if isinstance(entry, Failure) else self.task.assemble(entry, [next(outcomes) for _ in entry.items])
            for entry in inputs
        ]

    def run(
        self, items: Sequence[Any], *, deadline: float | None = None, on_outcome: OnOutcome | None = None
    ) -> list[Result | Failure]:
        """Compute prepared items of any requests together; see ``Computing.all``."""
        return self.computing.all(items, deadline=deadline, on_outcome=on_outcome)

    def warm_up(self) -> None:
        """Run one real input, so that readiness means that answers come; raises InferenceError."""
        (outcome,) = self([self.task.example_item])
        if isinstance(outcome, Failure):
            raise InferenceError(f"{self.bundle.path} loads but cannot answer: {outcome.error}") from outcome.error

    def describe(self) -> Mapping[str, Any]:
        """Describe the engine and the device that it computes on."""
        return self.task.describe()

    def close(self) -> None:
        """Free the model."""
        self.computing.close()
        self.task.close()


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The outputs of a list of items, in order, for scoring.

    ``values`` are the results' own, None for an item that was refused, as guards take them; ``plain`` are their JSON
    forms, or the task's ``no_output``, as metrics take them; ``refused`` holds the reasons, by index from 0.
    """

    values: tuple[Any, ...]
    plain: tuple[Any, ...]
    refused: Mapping[int, str]


def answer_all(
    predictor: Predictor, items: Sequence[Any], on_progress: Callable[[int], None] = lambda done: None
) -> Outputs:
    """Answer a long list of items with the bundle's own options; ``on_progress`` gets the number of items done.

    Raises InferenceError when the engine fails, since that says nothing about the model.
    """
    values: list[Any] = []
    plain: list[Any] = []
    refused: dict[int, str] = {}
    for start in range(0, len(items), ITEMS_AT_ONCE):
        for index, outcome in enumerate(predictor(items[start : start + ITEMS_AT_ONCE]), start=start):
            if isinstance(outcome, Result):
                values.append(outcome.value)
                plain.append(predictor.task.output(outcome.value))
            elif isinstance(outcome.error, InferenceError):
                raise outcome.error
            else:
                values.append(None)
                plain.append(predictor.task.no_output)
                refused[index] = str(outcome.error)
        on_progress(len(values))
    return Outputs(values=tuple(values), plain=tuple(plain), refused=refused)
