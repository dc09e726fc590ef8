"""The scores of a manifest: each metric with its signature and a bootstrap interval."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from dragoman.bundle.manifest import Score
from dragoman.errors import DataError
from scoring.bootstrap import estimate
from scoring.table import figure, metric


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


def score_table(found: Sequence[Score], baselines: Sequence[Score]) -> str:
    """Set the scores of a model beside those of the baselines: a line for each test set and metric."""
    names = list(dict.fromkeys(score.engine for score in baselines))
    rows = [["test set", "metric", "model", *names]]
    for score in found:
        test_set = score.test_set.partition("@")[0]
        theirs = {
            other.engine: figure(other.metric, other.value)
            for other in baselines
            if (other.test_set, other.metric) == (score.test_set, score.metric)
        }
        rows.append(
            [test_set, score.metric, figure(score.metric, score.value), *(theirs.get(name, "") for name in names)]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        left = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        lines.append("  ".join([*left, *right]).rstrip())
    return "\n".join(lines)
