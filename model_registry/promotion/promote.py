"""Promotion and rollback: judged without a lock, as long as it takes; carried out under the lease, in a moment."""

import contextlib
import math
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from dragoman.errors import BundleError, ConfigError, UnavailableError
from model_registry.gate.comparison import Competitor, judge_competitors, loaded_version
from model_registry.gate.held_out import HeldOut, from_training
from model_registry.gate.settings import GateSettings
from model_registry.gate.verdict import Judgement, incomparable
from model_registry.mlflow_store.connection import explained
from model_registry.promotion import report
from model_registry.promotion.champion_alias import move_champion, settle
from model_registry.promotion.decision import ChampionChange
from model_registry.promotion.history import Decision, DecisionLog
from model_registry.versions.registry import CHAMPION, PREVIOUS, Registry, aliased
from model_registry.versions.version import Version, select

# The number of times that the champion may change while a candidate is judged against it or a rollback is verified.
# Each time somebody else's promotion has succeeded, so more than a few in a row mean a fault.
TRIES = 20
# MLflow takes names of 250 characters.
LONGEST_SUBJECT = 200

# The gate's settings by the name of a task.
SettingsOf = Callable[[str], GateSettings]


def promote(
    registry: Registry, name: str, selector: str, settings_of: SettingsOf, held_out: HeldOut | None = None
) -> ChampionChange:
    """Judge a version against the champion and make it champion if it passes; the decision is recorded either way.

    ``settings_of`` gives the gate of a task, which is the candidate's. ``held_out`` are the sets of the candidate's
    training run unless given. Raises ConfigError for a version that does not exist, DataError without items that suit
    both, BundleError for a bundle that is gone or damaged.
    """
    with explained(registry.uri), contextlib.ExitStack() as stack:
        candidate: Competitor | None = None
        for _ in range(TRIES):
            versions = _settled_versions(registry, name)
            version, champion = select(versions, name, selector), aliased(versions, CHAMPION)
            # An alias may move meanwhile; the version that has been judged is this one.
            selector = str(version.number)
            if champion is not None and champion.number == version.number:
                reason = "is the champion already"
                return ChampionChange(version=version, verdict="promoted", reason=reason, replaced=champion)
            candidate = candidate or stack.enter_context(loaded_version(registry, version))
            change = _judged(registry, version, candidate, champion, settings_of, held_out)
            if _carried_out(registry, change):
                return change
    raise _unstable(name)


def rollback(registry: Registry, name: str, reason: str) -> ChampionChange:
    """Make the previous champion champion again, once its bundle verifies, and the present one previous."""
    with explained(registry.uri):
        for _ in range(TRIES):
            versions = _settled_versions(registry, name)
            champion, previous = aliased(versions, CHAMPION), aliased(versions, PREVIOUS)
            if champion is None or previous is None or champion.number == previous.number:
                raise ConfigError(
                    f"{name} has no previous champion to go back to; there is one after a second promotion "
                    f"(champion: {champion.number if champion else 'none'})"
                )
            with tempfile.TemporaryDirectory(prefix="dragoman-rollback-") as folder:
                registry.fetch(previous, Path(folder))
            change = ChampionChange(
                version=previous, verdict="champion again", reason=reason, replaced=champion, changed=True
            )
            tags = _tags("rollback", change)
            if move_champion(registry.client, name, judged=champion.number, to=previous.number, tags=tags):
                return change
    raise _unstable(name)


def history(registry: Registry, name: str) -> list[Decision]:
    """Return the decisions about a model that were carried out, last one first; raises ConfigError for no such model.

    Whatever a killed command has left unfinished is completed or dropped before.
    """
    with explained(registry.uri):
        _settled_versions(registry, name)
        return DecisionLog(registry.client, name).entries()


def _settled_versions(registry: Registry, name: str) -> list[Version]:
    versions = registry.versions(name)
    return registry.versions(name) if settle(registry.client, name) else versions


def _judged(
    registry: Registry,
    version: Version,
    candidate: Competitor,
    champion: Version | None,
    settings_of: SettingsOf,
    held_out: HeldOut | None,
) -> ChampionChange:
    """Judge a loaded candidate against the champion."""
    ours = candidate.bundle.manifest
    settings = settings_of(ours.task)
    with contextlib.ExitStack() as stack:
        opponent = None
        if champion is not None:
            try:
                opponent = stack.enter_context(loaded_version(registry, champion))
            except BundleError as error:
                raise BundleError(
                    f"the champion cannot be judged against: {error}; register its bundle again, which puts its files "
                    f"back, or go back: python -m model_registry rollback {champion.name}; where no earlier bundle can "
                    "be read, delete the alias champion in MLflow, and the next promotion is that of a first champion"
                ) from error
        theirs = opponent.bundle.manifest if opponent else None
        if reason := incomparable(ours, theirs):
            return ChampionChange(version=version, verdict="rejected", reason=reason, replaced=champion)
        if held_out is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dragoman-held-out-")))
            stored = registry.held_out_files(version, folder)
            held_out = from_training(stored, ours, theirs, validation=settings.held_out == "validation")
        judgement = judge_competitors(candidate, opponent, held_out, settings)
    return ChampionChange(
        version=version,
        verdict=judgement.verdict,
        reason=judgement.reason,
        replaced=champion,
        changed=judgement.verdict == "promoted",
        judgement=judgement,
        look=1 + DecisionLog(registry.client, version.name).count(judgement.held_out_digest),
    )


def _carried_out(registry: Registry, change: ChampionChange) -> bool:
    """Record a decision and move the champion if it asks for that; return False when another one is champion by now."""
    tags, metrics = _tags("promotion", change), {}
    if judgement := change.judgement:
        tags["held_out"] = judgement.held_out_digest
        metrics = _metrics(judgement)
    with tempfile.TemporaryDirectory(prefix="dragoman-decision-") as folder:
        files, name = Path(folder), change.version.name
        report.write(change, files)
        if change.changed:
            judged = change.replaced.number if change.replaced else None
            return move_champion(
                registry.client,
                name,
                judged=judged,
                to=change.version.number,
                tags=tags,
                metrics=metrics,
                artifacts=files,
            )
        log = DecisionLog(registry.client, name)
        log.close(log.open(tags, metrics, files))
        return True


def _metrics(judgement: Judgement) -> dict[str, float]:
    """Name the figures of a judgement as MLflow takes them."""
    found: dict[str, float] = {}
    for guard in judgement.guards:
        if guard.value is not None:
            # A subject is anybody's word, and MLflow accepts few characters in a name.
            name, separator, subject = guard.name.partition("/")
            subject = re.sub(r"[^\w -]", "_", subject)[:LONGEST_SUBJECT]
            found[f"guard/{name}{separator}{subject}"] = guard.value
    if comparison := judgement.comparison:
        names = ("candidate", "champion", "difference", "low", "high")
        found |= {name: getattr(comparison, name) for name in names if math.isfinite(getattr(comparison, name))}
    if test := judgement.paired_test:
        found |= {"paired_better": test.better, "paired_worse": test.worse, "paired_p": test.p}
    return found


def _tags(kind: str, change: ChampionChange) -> dict[str, str]:
    return {
        "kind": kind,
        "verdict": change.verdict,
        "reason": change.reason,
        "candidate": str(change.version.number),
        "candidate_digest": change.version.digest,
        "champion": str(change.replaced.number) if change.replaced else "",
    }


def _unstable(name: str) -> UnavailableError:
    return UnavailableError(f"the champion of {name} changed {TRIES} times meanwhile; run the command again")
