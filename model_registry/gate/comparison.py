"""What the gate would say of two bundles on disk: the same judgement, without a registry and without consequences."""

from collections.abc import Callable
from pathlib import Path

from dragoman.bundle.store import open_bundle
from dragoman.errors import ConfigError
from model_registry.gate.contender import loaded, put_on_trial
from model_registry.gate.held_out import HeldOut, from_training
from model_registry.gate.settings import GateSettings
from model_registry.gate.verdict import Trial, another_work
from scoring.held_out import FOLDER, SUFFIX


def compare_bundles(
    candidate: Path, champion: Path, settings_of: Callable[[str], GateSettings], held_out: HeldOut | None
) -> Trial:
    """Judge one bundle directory against another, by the settings of the candidate's task.

    ``held_out`` are the sets that stand in the candidate's run directory unless given. Raises ConfigError for models of
    different work, DataError without items that suit both, BundleError for a damaged bundle.
    """
    ours, theirs = open_bundle(candidate), open_bundle(champion)
    if unlike := another_work(ours.manifest, theirs.manifest):
        raise ConfigError(f"these bundles cannot be compared: {unlike}")
    settings = settings_of(ours.manifest.task)
    if held_out is None:
        stored = sorted((candidate.parent / FOLDER).glob(f"*{SUFFIX}"))
        held_out = from_training(stored, ours.manifest, theirs.manifest, validation=settings.held_out == "validation")
    with loaded(str(candidate), ours) as first, loaded(str(champion), theirs) as second:
        return put_on_trial(first, second, held_out, settings)
