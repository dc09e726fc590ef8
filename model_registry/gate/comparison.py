"""Loading two bundles as they are served, measuring them on the same held-out items, and judging."""

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

import dragoman
from dragoman.bundle.store import Bundle, open_bundle
from dragoman.errors import BundleError, ConfigError, InferenceError
from dragoman.predictor import Outputs, answer_all
from dragoman.tasks.base import task_class
from model_registry.gate.held_out import HeldOut, from_training
from model_registry.gate.measurements import Measurements, agreement, changed_in_batches, p95_latencies_ms, variation
from model_registry.gate.settings import GateSettings
from model_registry.gate.verdict import Judgement, incomparable, judge, with_changes
from model_registry.versions.registry import Registry
from model_registry.versions.version import Version
from scoring.base import Share
from scoring.held_out import FOLDER, SUFFIX


class Competitor:
    """A loaded bundle; ``name`` is what messages call it. It answers the same items once, however often judged."""

    def __init__(self, name: str, bundle: Bundle) -> None:
        self.name, self.bundle = name, bundle
        try:
            self.predictor = dragoman.load(bundle)
            self.predictor.warm_up()
        except (BundleError, ConfigError, InferenceError) as error:
            raise type(error)(f"{name} cannot be judged: {error}") from error
        self._answered: dict[str, tuple[Outputs, float | None, Mapping[str, Share]]] = {}

    def measure(
        self, held_out: HeldOut, settings: GateSettings, p95_ms: float | None, progress: Progress
    ) -> Measurements:
        """Answer the items and return what the gate looks at, given the latency."""
        if held_out.digest not in self._answered:
            inputs, batches = held_out.inputs, settings.changed_in_batches_share
            task = progress.add_task(f"answering with {self.name}", total=len(inputs))
            outputs = answer_all(self.predictor, inputs, lambda done: progress.update(task, completed=done))
            changed = None
            if batches.max is not None:
                changed = changed_in_batches(self.predictor, inputs, sample=batches.sample)
            kept: dict[str, Share] = {}
            for name, limits in settings.agreement.items():
                progress.update(task, description=f"answering with {self.name}, {name}")
                change = variation(type(self.predictor.task), name)
                kept[name] = agreement(self.predictor, inputs, outputs, change, sample=limits.sample)
            self._answered[held_out.digest] = (outputs, changed, kept)
        outputs, changed, shares = self._answered[held_out.digest]
        manifest = self.bundle.manifest
        return Measurements(
            outputs=outputs,
            changed_in_batches=changed,
            p95_ms=p95_ms,
            size_mb=sum(entry.bytes for entry in manifest.files) / 1e6,
            baselines=manifest.baselines,
            agreement=shares,
        )


@contextmanager
def loaded(name: str, bundle: Bundle) -> Iterator[Competitor]:
    """Load a verified bundle for the time of a block; raises BundleError when it cannot be."""
    competitor = Competitor(name, bundle)
    try:
        yield competitor
    finally:
        competitor.predictor.close()


@contextmanager
def loaded_version(registry: Registry, version: Version) -> Iterator[Competitor]:
    """Fetch and load a version for the time of a block; raises BundleError when it is gone, damaged or unreadable."""
    with (
        tempfile.TemporaryDirectory(prefix="dragoman-gate-") as folder,
        loaded(version.reference, registry.fetch(version, Path(folder))) as competitor,
    ):
        yield competitor


def judge_competitors(
    candidate: Competitor, champion: Competitor | None, held_out: HeldOut, settings: GateSettings
) -> Judgement:
    """Measure both on the same items, show the progress on standard error, and judge."""
    task = task_class(candidate.bundle.manifest.task)
    for name in settings.agreement:
        # Before minutes of answering: a task has its variations, and settings may come from anywhere.
        variation(task, name)
    competitors = [candidate, *([champion] if champion else [])]
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn())
    # Latencies are measured only where a limit asks for them; a ratio needs two.
    if settings.latency_p95_ms.max is None and (settings.latency_ratio.max is None or champion is None):
        latencies: list[float | None] = [None] * len(competitors)
    else:
        predictors = [competitor.predictor for competitor in competitors]
        latencies = p95_latencies_ms(predictors, held_out.inputs, sample=settings.latency_sample)
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as progress:
        found = [
            competitor.measure(held_out, settings, p95_ms, progress)
            for competitor, p95_ms in zip(competitors, latencies, strict=True)
        ]
    if champion is None:
        return judge(found[0], None, held_out, settings)
    ours, theirs = found
    return with_changes(judge(ours, theirs, held_out, settings), task, ours, theirs, held_out)


def compare_bundles(
    candidate: Path, champion: Path, settings_of: Callable[[str], GateSettings], held_out: HeldOut | None
) -> Judgement:
    """Judge one bundle directory against another as a promotion would, without a registry and without consequences.

    The settings are those of the candidate's task. ``held_out`` are the sets that stand in the candidate's run
    directory unless given. Raises ConfigError for models of different work, DataError without items that suit both,
    BundleError for a damaged bundle.
    """
    ours, theirs = open_bundle(candidate), open_bundle(champion)
    if reason := incomparable(ours.manifest, theirs.manifest):
        raise ConfigError(f"these bundles cannot be compared: {reason}")
    settings = settings_of(ours.manifest.task)
    if held_out is None:
        stored = sorted((candidate.parent / FOLDER).glob(f"*{SUFFIX}"))
        held_out = from_training(stored, ours.manifest, theirs.manifest, validation=settings.held_out == "validation")
    with loaded(str(candidate), ours) as first, loaded(str(champion), theirs) as second:
        return judge_competitors(first, second, held_out, settings)
