"""Metrics and guards of classifications: accuracy, macro-F1 as scikit-learn defines it, the expected calibration error.

An output is ``{label: probability}``, the most probable label first, or ``{}`` for an item that was refused, which is
wrong. A reference is a label.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy

from scoring.base import Counts, Metric, Missing, PairedTest, Share, exact_test

# As in Guo et al. 2017, and with most of those who report calibration since.
BINS = 15
# With fewer items of a class, its figures say more about the choice of items than about the model.
LEAST_ITEMS = 30

Output = Mapping[str, float]


class Labelled(Protocol):
    """The part of a classification that guards look at."""

    @property
    def label(self) -> str:
        """The most probable label."""


class Accuracy(Metric):
    """The share of items whose most probable label is right."""

    name = "accuracy"

    def counts(self, outputs: Sequence[Output], references: Sequence[str]) -> Counts:
        """Count the right answers and the items."""
        rows = zip(outputs, references, strict=True)
        return numpy.array([[predicted(output) == reference, 1] for output, reference in rows], numpy.float64)

    def score(self, sums: Counts) -> float:
        """Divide the right answers by the items."""
        return float(100 * sums[0] / sums[1])

    def signature(self) -> str:
        """Name the answer that counts, and what a refusal is."""
        return "accuracy|top:1|refused:wrong"

    def paired_test(self, candidate: Counts, champion: Counts) -> PairedTest:
        """Compute McNemar's test, exactly: by the binomial distribution of the items that only one gets right."""
        return exact_test("exact McNemar", (candidate[:, 0] > 0).tolist(), (champion[:, 0] > 0).tolist())


class MacroF1(Metric):
    """The mean F1 of the classes that occur, among the references or among the answers."""

    name = "macro-F1"

    def counts(self, outputs: Sequence[Output], references: Sequence[str]) -> Counts:
        """Count three columns for each class: right answers, wrong ones of this label, and items that missed it."""
        # All labels of a model, not only those it answers with: two models of one work then have the same columns.
        classes = sorted({*references, *(label for output in outputs for label in output)})
        columns = {label: 3 * number for number, label in enumerate(classes)}
        counts = numpy.zeros((len(references), 3 * len(classes)))
        for row, (output, reference) in enumerate(zip(outputs, references, strict=True)):
            answer = predicted(output)
            if answer == reference:
                counts[row, columns[reference]] = 1
                continue
            counts[row, columns[reference] + 2] = 1
            if answer is not None:
                counts[row, columns[answer] + 1] = 1
        return counts

    def score(self, sums: Counts) -> float:
        """Compute the F1 of every class that occurs, and their mean."""
        right, wrong, missed = sums.reshape(-1, 3).T
        double = 2 * right + wrong + missed
        occurs = double > 0
        return float(100 * numpy.mean(2 * right[occurs] / double[occurs]))

    def signature(self) -> str:
        """Name the classes that the mean is over, and what a refusal is."""
        return "macro-F1|classes:references+answers|refused:missed"


class CalibrationError(Metric):
    """The expected calibration error: how far the most probable label's probability is from the share of right answers.

    Items are put into bins of equal width by that probability; the distances of the bins are weighted by their items.
    """

    name, higher_is_better = "ECE", False

    def counts(self, outputs: Sequence[Output], references: Sequence[str]) -> Counts:
        """Count three columns for each bin: items, right answers, and the sum of the probabilities."""
        counts = numpy.zeros((len(references), 3 * BINS))
        for row, (output, reference) in enumerate(zip(outputs, references, strict=True)):
            answer = predicted(output)
            # An item that was refused claims nothing, and gets nothing right.
            probability = 0.0 if answer is None else float(output[answer])
            # A bin holds its upper end and not its lower one, the first one holds both.
            column = 3 * min(BINS - 1, max(0, int(numpy.ceil(probability * BINS)) - 1))
            counts[row, column : column + 3] = 1, answer == reference, probability
        return counts

    def score(self, sums: Counts) -> float:
        """Weigh the distance of every bin by its items."""
        items, right, probability = sums.reshape(-1, 3).T
        return float(100 * numpy.abs(right - probability).sum() / items.sum())

    def signature(self) -> str:
        """Name the bins and the probability that is looked at."""
        return f"ECE|bins:{BINS}|width:equal|probability:top"


def predicted(output: Output) -> str | None:
    """Return the label of an output, or None for an item that was refused."""
    return next(iter(output), None)


def class_recall(
    inputs: Sequence[Any], values: Sequence[Labelled | None], references: Sequence[str]
) -> dict[str, float | Missing]:
    """Return the share of each class's items that are given its label."""
    hits: dict[str, list[bool]] = {label: [] for label, _ in _classes(references)}
    for value, reference in zip(values, references, strict=True):
        hits[reference].append(value is not None and value.label == reference)
    return {
        label: Share(found) if len(found) >= LEAST_ITEMS else Missing(f"too few ({len(found)})")
        for label, found in hits.items()
    }


def predicted_ratio(
    inputs: Sequence[Any], values: Sequence[Labelled | None], references: Sequence[str]
) -> dict[str, float | Missing]:
    """Divide the number of items that are given each label by the number of those that should be."""
    answered = Counter(value.label for value in values if value is not None)
    return {
        label: answered[label] / items if items >= LEAST_ITEMS else Missing(f"too few ({items})")
        for label, items in _classes(references)
    }


def _classes(references: Sequence[str]) -> list[tuple[str, int]]:
    """Count the items of each class, the largest first."""
    return sorted(Counter(references).items(), key=lambda pair: (-pair[1], pair[0]))
