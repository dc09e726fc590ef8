"""Loading a bundle, and the predictor that every server and command calls."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dragoman.batching.computing import Computing
from dragoman.bundle.store import Bundle, open_bundle
from dragoman.errors import DragomanError, InferenceError
from dragoman.items.outcomes import Failure, OnOutcome, Result
from dragoman.tasks.base import Task, task_class


def load(bundle: str | Path | Bundle, engine: str = "auto", device: str = "auto") -> "Predictor":
    """Verify a bundle and load it: ``engine`` is auto or one that its task names, ``device`` is auto, cpu or cuda.

    A Bundle was verified when it was opened. Raises BundleError when the bundle is damaged or not signed as the
    configured public key demands, and ConfigError when the engine or device is not to be had here.
    """
    bundle = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    return Predictor(bundle, task_class(bundle.manifest.task)(bundle, engine=engine, device=device))


class Predictor:
    """A loaded model: call it with inputs, get one Result or Failure each, in order. Threads may share it."""

    def __init__(self, bundle: Bundle, task: Task) -> None:
        self.bundle = bundle
        self.task = task
        self.computing = Computing(task)

    def __call__(self, items: Sequence[Any]) -> list[Result | Failure]:
        """Run a list of inputs; a bad one is a Failure in its own slot and harms no other."""
        inputs = [self._prepare(item) for item in items]
        answers = iter(
            self.computing.all([part for entry in inputs if not isinstance(entry, Failure) for part in entry.items])
        )
        return [
            entry if isinstance(entry, Failure) else self.task.assemble(entry, [next(answers) for _ in entry.items])
            for entry in inputs
        ]

    def _prepare(self, item: Any) -> Any:
        try:
            return self.task.prepare(item)
        except DragomanError as error:
            return Failure(error)

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
        """Say which engine runs where."""
        return self.task.describe()

    def close(self) -> None:
        """Free the model."""
        self.computing.close()
        self.task.close()
