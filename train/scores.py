"""The scores of a manifest: each metric with its signature and a bootstrap interval."""

from collections.abc import Sequence
from typing import Any

from dragoman.manifest import Score
from scoring.bootstrap import estimate
from scoring.table import metric


def scores(
    metrics: Sequence[str], outputs: Sequence[Any], references: Sequence[Any], *, test_set: str, engine: str
) -> list[Score]:
    """Score outputs by each metric (names of ``scoring.table``)."""
    found = [(name, estimate(metric(name), outputs, references)) for name in metrics]
    return [
        Score(
            metric=name,
            value=score.value,
            signature=score.signature,
            test_set=test_set,
            items=score.items,
            low=score.low,
            high=score.high,
            engine=engine,
        )
        for name, score in found
    ]
