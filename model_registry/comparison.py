"""What the gate would say of two bundles on disk: the same judgement, without a registry and without consequences."""

from pathlib import Path

from dragoman.bundle import open_bundle
from dragoman.errors import ConfigError
from model_registry.contender import loaded, put_on_trial
from model_registry.gate import Trial, another_work
from model_registry.gate_settings import GateSettings
from model_registry.held_out import SEGMENTS_FOLDER, HeldOut, from_training


def compare_bundles(candidate: Path, champion: Path, settings: GateSettings, segments: HeldOut | None) -> Trial:
    """Judge one bundle directory against another.

    ``segments`` are those that stand in the candidate's run directory unless given. Raises ConfigError for models of
    different work, DataError without segments that suit both, BundleError for a damaged bundle.
    """
    ours, theirs = open_bundle(candidate), open_bundle(champion)
    if unlike := another_work(ours.manifest, theirs.manifest):
        raise ConfigError(f"these bundles cannot be compared: {unlike}")
    if segments is None:
        stored = sorted((candidate.parent / SEGMENTS_FOLDER).glob("*.jsonl"))
        segments = from_training(stored, ours.manifest, theirs.manifest, validation=settings.segments == "validation")
    with loaded(str(candidate), ours) as first, loaded(str(champion), theirs) as second:
        return put_on_trial(first, second, segments, settings)
