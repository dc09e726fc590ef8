"""The majority class: the simplest method beside which every score of a classifier stands."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from train.data.corpus import Example
from train.tasks.base import Baseline

# The answers of a baseline have no probabilities, so there is nothing to calibrate.
METRICS = ("macro-F1", "accuracy")


def majority_class(training: Sequence[Example]) -> Baseline:
    """Answer everything with the most frequent label."""
    label = Counter(label for _, label in training).most_common(1)[0][0]

    def answer(items: Sequence[Any]) -> list[dict[str, float]]:
        return [{label: 1.0} for _ in items]

    return Baseline(name="majority class", metrics=METRICS, answer=answer)
