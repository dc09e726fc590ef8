"""The scores of a manifest: each metric with its signature and a bootstrap interval."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from dragoman.bundle.manifest import Score
from dragoman.errors import DataError
from scoring.bootstrap import estimate
from scoring.table import metric


def scores(
    metrics: Sequence[str], outputs: Sequence[Any], references: Sequence[Any], *, test_set: str, engine: str
) -> list[Score]:
    """Score outputs by each metric (names of ``scoring.table``); raises DataError for a score that is no number."""
    found = []
    for name in metrics:
        score = estimate(metric(name), outputs, references)
        if not all(map(math.isfinite, (score.value, score.low, score.high))):
            # No manifest can hold it.
            raise DataError(
                f"{name} is {score.value} ({score.low} to {score.high}) on {test_set}; it has no value for these, so "
                "score by another metric, or give a larger set"
            )
        found.append(Score(metric=name, test_set=test_set, engine=engine, **dataclasses.asdict(score)))
    return found
