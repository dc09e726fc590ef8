"""A bundle on trial: verified, loaded as it is served, and answering the held-out items."""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

import dragoman
from dragoman.bundle.store import Bundle
from dragoman.errors import BundleError, ConfigError, InferenceError
from model_registry.gate.guards import Measured
from model_registry.gate.held_out import HeldOut
from model_registry.gate.outputs import Outputs, answer, changed_in_batches, p95_latencies_ms, size_mb
from model_registry.gate.settings import GateSettings
from model_registry.gate.verdict import Trial, judge
from model_registry.versions.registry import Registry
from model_registry.versions.version import Version


class Contender:
    """A loaded bundle; ``name`` is what messages call it. Answers the same items once, however often judged."""

    def __init__(self, name: str, bundle: Bundle) -> None:
        self.name, self.bundle = name, bundle
        try:
            self.predictor = dragoman.load(bundle)
            self.predictor.warm_up()
        except (BundleError, ConfigError, InferenceError) as error:
            raise type(error)(f"{name} cannot be put on trial: {error}") from error
        self._answered: dict[str, tuple[Outputs, float | None]] = {}

    def measured(self, held_out: HeldOut, settings: GateSettings, p95_ms: float | None, progress: Progress) -> Measured:
        """What the gate looks at, given the latency."""
        if held_out.digest not in self._answered:
            inputs, batches = held_out.inputs, settings.changed_in_batches_share
            task = progress.add_task(f"answering with {self.name}", total=len(inputs))
            outputs = answer(self.predictor, inputs, lambda done: progress.update(task, completed=done))
            changed = None
            if batches.max is not None:
                changed = changed_in_batches(self.predictor, inputs, sample=batches.sample)
            self._answered[held_out.digest] = (outputs, changed)
        outputs, changed = self._answered[held_out.digest]
        return Measured(outputs=outputs, changed_in_batches=changed, p95_ms=p95_ms, size_mb=size_mb(self.predictor))


@contextmanager
def contending(registry: Registry, version: Version) -> Iterator[Contender]:
    """Fetch and load a version for the time of a block; raises BundleError when it is gone, damaged or unreadable."""
    with (
        tempfile.TemporaryDirectory(prefix="dragoman-gate-") as folder,
        loaded(version.reference, registry.fetch(version, Path(folder))) as contender,
    ):
        yield contender


@contextmanager
def loaded(name: str, bundle: Bundle) -> Iterator[Contender]:
    """Load a verified bundle for the time of a block; raises BundleError when it cannot be."""
    contender = Contender(name, bundle)
    try:
        yield contender
    finally:
        contender.predictor.close()


def put_on_trial(candidate: Contender, champion: Contender | None, held_out: HeldOut, settings: GateSettings) -> Trial:
    """Measure both on the same items, tell a person how far it is, and judge."""
    contenders = [candidate, *([champion] if champion else [])]
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn())
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as progress:
        timed = _timed(contenders, held_out, settings)
        found = [
            contender.measured(held_out, settings, p95_ms, progress)
            for contender, p95_ms in zip(contenders, timed, strict=True)
        ]
    return judge(found[0], found[1] if champion else None, held_out, settings)


def _timed(contenders: Sequence[Contender], held_out: HeldOut, settings: GateSettings) -> list[float | None]:
    """Measure the latencies, unless no limit asks for them; a ratio needs two."""
    if settings.latency_p95_ms.max is None and (settings.latency_ratio.max is None or len(contenders) == 1):
        return [None] * len(contenders)
    predictors = [contender.predictor for contender in contenders]
    return p95_latencies_ms(predictors, held_out.inputs, sample=settings.latency_sample)
