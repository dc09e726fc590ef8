"""A bundle on trial: verified, loaded as it is served, and translating the segments."""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

import dragoman
from dragoman.bundle import Bundle
from dragoman.errors import BundleError, ConfigError, InferenceError
from model_registry.client import Registry
from model_registry.gate import Trial, judge
from model_registry.gate_settings import GateSettings, GuardSettings
from model_registry.guards import Measured
from model_registry.held_out import HeldOut
from model_registry.outputs import Outputs, changed_in_batches, p95_latencies_ms, size_mb, translate
from model_registry.versions import Version


class Contender:
    """A loaded bundle; ``name`` is what messages call it. Translates the same segments once, however often judged."""

    def __init__(self, name: str, bundle: Bundle) -> None:
        self.name, self.bundle = name, bundle
        try:
            self.predictor = dragoman.load(bundle)
            self.predictor.warm_up()
        except (BundleError, ConfigError, InferenceError) as error:
            raise type(error)(f"{name} cannot be decoded: {error}") from error
        self._translated: dict[str, tuple[Outputs, float | None]] = {}

    def measured(self, held_out: HeldOut, settings: GateSettings, p95_ms: float | None, progress: Progress) -> Measured:
        """What the gate looks at, given the latency."""
        if held_out.digest not in self._translated:
            sources = held_out.sources
            task = progress.add_task(f"translating with {self.name}", total=len(sources))
            outputs = translate(self.predictor, sources, lambda done: progress.update(task, completed=done))
            changed = None
            if settings.guards.changed_in_batches_share_max is not None:
                changed = changed_in_batches(self.predictor, sources, sample=settings.guards.batch_sample)
            self._translated[held_out.digest] = (outputs, changed)
        outputs, changed = self._translated[held_out.digest]
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
    """Load a verified bundle for the time of a block; raises BundleError when it cannot be decoded."""
    contender = Contender(name, bundle)
    try:
        yield contender
    finally:
        contender.predictor.close()


def put_on_trial(candidate: Contender, champion: Contender | None, held_out: HeldOut, settings: GateSettings) -> Trial:
    """Measure both on the same segments, tell a person how far it is, and judge."""
    contenders = [candidate, *([champion] if champion else [])]
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn())
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as progress:
        timed = _timed(contenders, held_out, settings.guards)
        found = [
            contender.measured(held_out, settings, p95_ms, progress)
            for contender, p95_ms in zip(contenders, timed, strict=True)
        ]
    return judge(found[0], found[1] if champion else None, held_out, settings)


def _timed(contenders: Sequence[Contender], held_out: HeldOut, limits: GuardSettings) -> list[float | None]:
    """The latencies, unless no limit asks for them; a ratio needs two."""
    if limits.latency_p95_ms_max is None and (limits.latency_ratio_max is None or len(contenders) == 1):
        return [None] * len(contenders)
    predictors = [contender.predictor for contender in contenders]
    return p95_latencies_ms(predictors, held_out.sources, sample=limits.latency_sample)
