"""The rule that lets a candidate become champion: validation chrF not below the champion's, measured alike."""

from dataclasses import dataclass

from dragoman.manifest import Manifest, Score

METRIC = "chrF"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The same measurement of both models."""

    test_set: str
    segments: int
    candidate: float
    champion: float


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether the candidate may become champion, and why, as one sentence."""

    accepted: bool
    reason: str


def judge(candidate: Manifest, champion: Manifest | None) -> Verdict:
    """Compare two verified bundles; without a champion, a score to compare the next candidate with is enough."""
    if not _scores(candidate):
        return Verdict(accepted=False, reason=f"the bundle has no {METRIC} score; evaluate it before it is bundled")
    if champion is None:
        return Verdict(accepted=True, reason="it is the first champion, there is none to compare it with")
    if (candidate.task, candidate.languages) != (champion.task, champion.languages):
        return Verdict(
            accepted=False,
            reason=f"it does {_work(candidate)} and the champion {_work(champion)}; register it by another name",
        )
    comparisons = compare(candidate, champion)
    if not comparisons:
        return Verdict(
            accepted=False,
            reason=f"its {METRIC} cannot be compared: it was scored on {_test_sets(candidate)}, the champion "
            f"on {_test_sets(champion)}; score it on the same test set with the same signature and engine",
        )
    worse = [pair for pair in comparisons if pair.candidate < pair.champion]
    return Verdict(accepted=not worse, reason=" and ".join(_sentence(pair) for pair in worse or comparisons))


def compare(candidate: Manifest, champion: Manifest) -> list[Comparison]:
    """The scores that both have on the same test set, with the same signature and engine."""
    theirs = {_measurement(score): score for score in _scores(champion)}
    return [
        Comparison(
            test_set=score.test_set,
            segments=score.segments,
            candidate=score.value,
            champion=theirs[_measurement(score)].value,
        )
        for score in _scores(candidate)
        if _measurement(score) in theirs
    ]


def _scores(manifest: Manifest) -> list[Score]:
    """The scores that decide: those on validation sets, so that test sets stay unseen, or any where there are none."""
    found = [score for score in manifest.scores if score.metric == METRIC]
    return [score for score in found if "validation" in score.test_set] or found


def _measurement(score: Score) -> tuple[str, int, str, str]:
    return score.test_set, score.segments, score.signature, score.engine


def _sentence(pair: Comparison) -> str:
    relation = "is below" if pair.candidate < pair.champion else "is not below"
    return (
        f"its {METRIC} {pair.candidate:.4f} {relation} the champion's {pair.champion:.4f} "
        f"on {pair.test_set} ({pair.segments} segments)"
    )


def _test_sets(manifest: Manifest) -> str:
    return (
        ", ".join(sorted({f"{score.test_set} ({score.segments}, {score.engine})" for score in _scores(manifest)}))
        or "none"
    )


def _work(manifest: Manifest) -> str:
    return f"{manifest.task} {manifest.languages.source}-{manifest.languages.target}"
