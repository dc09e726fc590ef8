"""Promoting and rolling back: judged without a lock, as long as it takes; carried out under the lease, in a moment."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dragoman.errors import BundleError, ConfigError, UnavailableError
from model_registry.gate.contender import Contender, contending, put_on_trial
from model_registry.gate.held_out import HeldOut, from_training
from model_registry.gate.settings import GateSettings
from model_registry.gate.verdict import Trial, another_work
from model_registry.mlflow_store.connection import explained
from model_registry.promotion import flip, report
from model_registry.promotion.decisions import Decision, DecisionLog, now
from model_registry.versions.registry import CHAMPION, PREVIOUS, Registry, aliased
from model_registry.versions.version import Version, select

# How often the champion may change while a candidate is judged against it, or a rollback is verified.
TRIES = 20

# The gate's settings by the name of a task.
SettingsOf = Callable[[str], GateSettings]
Verdict = Literal["promoted", "rejected", "undecided", "champion again"]


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """What became of a request; ``replaced`` is the champion before it, ``changed`` is false where nothing was done.

    ``look`` counts the decisions made on the trial's items, this one included.
    """

    version: Version
    verdict: Verdict
    reason: str
    replaced: Version | None = None
    changed: bool = False
    trial: Trial | None = None
    look: int = 1


def promote(
    registry: Registry, name: str, selector: str, settings_of: SettingsOf, held_out: HeldOut | None = None
) -> Promotion:
    """Judge a version against the champion and make it champion if it passes; the decision is recorded either way.

    ``settings_of`` gives the gate of a task, which is the candidate's. ``held_out`` are the sets of the candidate's
    training run unless given. Raises ConfigError for a version that does not exist, DataError without items that suit
    both, BundleError for a bundle that is gone or damaged.
    """
    with explained(registry.uri), contextlib.ExitStack() as stack:
        candidate: Contender | None = None
        number: int | None = None
        for _ in range(TRIES):
            versions = _settled_versions(registry, name)
            version, champion = select(versions, name, selector), aliased(versions, CHAMPION)
            if number is not None:
                # An alias may have moved meanwhile; what has been judged is this one.
                version = select(versions, name, str(number))
            if champion is not None and champion.number == version.number:
                return Promotion(
                    version=version, verdict="promoted", reason="is the champion already", replaced=champion
                )
            number = version.number
            candidate = candidate or stack.enter_context(contending(registry, version))
            settings = settings_of(candidate.bundle.manifest.task)
            decided = _decide(registry, version, candidate, champion, settings, held_out)
            if decided is not None:
                return decided
    raise _restless(name)


def rollback(registry: Registry, name: str, reason: str) -> Promotion:
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
            tags = _tags("rollback", "champion again", reason, previous, champion)
            record = flip.Record(tags=tags, metrics={})
            if flip.move_champion(registry.client, name, judged=champion.number, to=previous.number, record=record):
                return Promotion(
                    version=previous, verdict="champion again", reason=reason, replaced=champion, changed=True
                )
    raise _restless(name)


def history(registry: Registry, name: str) -> list[Decision]:
    """Every decision about a model that was carried out, the last one first; raises ConfigError for no such model."""
    with explained(registry.uri):
        _settled_versions(registry, name)
        return DecisionLog(registry.client, name).entries()


def _decide(
    registry: Registry,
    version: Version,
    candidate: Contender,
    champion: Version | None,
    settings: GateSettings,
    held_out: HeldOut | None,
) -> Promotion | None:
    """Judge and carry out; None when the champion is another one by then, and the judgement void."""
    log = DecisionLog(registry.client, version.name)
    with _champion_contending(registry, champion) as opponent:
        unlike = another_work(candidate.bundle.manifest, opponent.bundle.manifest if opponent else None)
        trial = None
        if unlike is None:
            items = held_out or _stored(registry, version, candidate, opponent, settings)
            trial = put_on_trial(candidate, opponent, items, settings)
    promotion = Promotion(
        version=version,
        verdict=trial.verdict if trial else "rejected",
        reason=trial.reason if trial else str(unlike),
        replaced=champion,
        changed=trial is not None and trial.verdict == "promoted",
        trial=trial,
        look=1 + (log.earlier(trial.held_out_digest) if trial else 0),
    )
    with tempfile.TemporaryDirectory(prefix="dragoman-decision-") as folder:
        report.write(promotion, Path(folder))
        tags = _tags("promotion", promotion.verdict, promotion.reason, version, champion)
        if trial:
            tags["held_out"] = trial.held_out_digest
        record = flip.Record(tags=tags, metrics=_metrics(trial), artifacts=Path(folder))
        if promotion.changed:
            judged = champion.number if champion else None
            done = flip.move_champion(registry.client, version.name, judged=judged, to=version.number, record=record)
            return promotion if done else None
        log.close(log.open(record.tags, record.metrics, record.artifacts))
        return promotion


@contextlib.contextmanager
def _champion_contending(registry: Registry, champion: Version | None) -> Iterator[Contender | None]:
    if champion is None:
        yield None
        return
    with contextlib.ExitStack() as stack:
        try:
            opponent = stack.enter_context(contending(registry, champion))
        except BundleError as error:
            raise BundleError(
                f"the champion cannot be judged against: {error}; register its bundle again, which puts its files "
                f"back, or go back: python -m model_registry rollback {champion.name}; where no earlier bundle can be "
                "read, delete the alias champion in MLflow, and the next promotion is that of a first champion"
            ) from error
        yield opponent


def _settled_versions(registry: Registry, name: str) -> list[Version]:
    """The versions once nothing is left half done; raises ConfigError when there is no such model."""
    versions = registry.versions(name)
    return registry.versions(name) if flip.mend(registry.client, name) else versions


def _stored(
    registry: Registry, version: Version, candidate: Contender, champion: Contender | None, settings: GateSettings
) -> HeldOut:
    with tempfile.TemporaryDirectory(prefix="dragoman-held-out-") as folder:
        return from_training(
            registry.held_out_files(version, Path(folder)),
            candidate.bundle.manifest,
            champion.bundle.manifest if champion else None,
            validation=settings.held_out == "validation",
        )


def _tags(kind: str, verdict: str, reason: str, version: Version, champion: Version | None) -> dict[str, str]:
    return {
        "kind": kind,
        "verdict": verdict,
        "reason": reason,
        "candidate": str(version.number),
        "candidate_digest": version.digest,
        "champion": str(champion.number) if champion else "",
        "at": now(),
    }


def _metrics(trial: Trial | None) -> dict[str, float]:
    if trial is None:
        return {}
    found = {f"guard/{guard.name}": guard.value for guard in trial.guards if guard.value is not None}
    if comparison := trial.comparison:
        found |= {name: getattr(comparison, name) for name in ("candidate", "champion", "difference", "low", "high")}
    return found


def _restless(name: str) -> UnavailableError:
    return UnavailableError(f"the champion of {name} changed {TRIES} times meanwhile; run the command again")
