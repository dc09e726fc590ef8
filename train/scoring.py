"""BLEU and chrF as sacreBLEU defines them, each with its signature and a bootstrap interval."""

from collections.abc import Sequence
from typing import Any

from sacrebleu.metrics import BLEU, CHRF

from dragoman.manifest import Score

BOOTSTRAPS = 1000


# sacreBLEU's bootstrap mixes Python's floats with numpy's as soon as one resample scores nothing, and then fails on the
# mixture; counts as Python's floats keep it whole.
class _Bleu(BLEU):  # type: ignore[misc]
    def _compute_score_from_stats(self, stats: Any) -> Any:
        return super()._compute_score_from_stats([float(count) for count in stats])


class _Chrf(CHRF):  # type: ignore[misc]
    def _compute_score_from_stats(self, stats: Any) -> Any:
        return super()._compute_score_from_stats([float(count) for count in stats])


def quick_scores(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Detokenised, cased corpus BLEU and chrF without intervals, for use while training."""
    return {
        "bleu": float(BLEU().corpus_score(list(hypotheses), [list(references)]).score),
        "chrf": float(CHRF().corpus_score(list(hypotheses), [list(references)]).score),
    }


def scores(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    test_set: str,
    engine: str,
    lower_cased: bool = False,
) -> list[Score]:
    """chrF and BLEU, detokenised and cased, with the 95 % interval of sacreBLEU's own bootstrap (its fixed seed 12345).

    ``lower_cased`` adds BLEU-lc, the BLEU of lower-cased text, which papers on Multi30k report.
    """
    metrics: list[tuple[str, BLEU | CHRF]] = [("chrF", _Chrf()), ("BLEU", _Bleu())]
    if lower_cased:
        metrics.append(("BLEU-lc", _Bleu(lowercase=True)))
    return [_score(name, metric, hypotheses, references, test_set, engine) for name, metric in metrics]


def _score(
    name: str,
    metric: BLEU | CHRF,
    hypotheses: Sequence[str],
    references: Sequence[str],
    test_set: str,
    engine: str,
) -> Score:
    # One sentence cannot be resampled; its interval is the figure itself.
    bootstraps = BOOTSTRAPS if len(hypotheses) > 1 else 1
    found = metric.corpus_score(list(hypotheses), [list(references)], n_bootstrap=bootstraps)
    mean, half = (found._mean, found._ci) if bootstraps > 1 else (found.score, 0.0)
    return Score(
        metric=name,
        value=float(found.score),
        signature=str(metric.get_signature()),
        test_set=test_set,
        segments=len(hypotheses),
        low=max(0.0, float(mean - half)),
        high=min(100.0, float(mean + half)),
        engine=engine,
    )
