"""The result of a text: the probabilities of its labels, made from the logits of its windows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray


@dataclass(frozen=True)
class Classification:
    """The probabilities of a text, highest first: of all labels, or of as many as a request asked for."""

    scores: tuple[tuple[str, float], ...]

    @property
    def label(self) -> str:
        """The most likely label."""
        return self.scores[0][0]

    @property
    def score(self) -> float:
        """The probability of the most likely label."""
        return self.scores[0][1]


def classify(
    logits: Sequence[Sequence[float]], weights: Sequence[int], *, labels: Sequence[str], temperature: float
) -> Classification:
    """Average the probabilities of a text's windows by their weights; equal ones keep the order of ``labels``."""
    total = numpy.zeros(len(labels))
    # Row by row, so that a text's sums have one order, however many others are answered with it.
    for row, weight in zip(logits, weights, strict=True):
        total += weight * probabilities(row, temperature=temperature)
    total /= sum(weights)
    order = numpy.argsort(-total, kind="stable")
    return Classification(tuple((labels[place], float(total[place])) for place in order))


def probabilities(logits: Sequence[float], *, temperature: float) -> NDArray[numpy.float64]:
    """Return the softmax of one row of logits, in 64 bits."""
    scaled = numpy.asarray(logits, dtype=numpy.float64) / temperature
    raised = numpy.exp(scaled - scaled.max())
    result: NDArray[numpy.float64] = raised / raised.sum()
    return result
