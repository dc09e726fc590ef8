"""One temperature by which logits are divided, so that a probability says how often an answer is right.

Guo et al. 2017: it is fitted by the log loss of validation texts, and changes the order of a text's labels never.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Beyond these a model is either certain of everything or knows nothing, and the fit has no minimum.
COLDEST, HOTTEST = 0.05, 20.0
# Golden sections of that interval on a logarithmic scale: 40 leave less than a millionth of it.
SECTIONS = 40
GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, kw_only=True)
class TextLogits:
    """The logits of a text's windows, one row each, and the weights of their probabilities, which sum to one."""

    rows: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]


def probabilities(text: TextLogits, temperature: float) -> npt.NDArray[np.float64]:
    """Average the probabilities of a text's windows."""
    scaled = text.rows / temperature
    raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    found: npt.NDArray[np.float64] = text.weights @ (raised / raised.sum(axis=1, keepdims=True))
    return found


def log_loss(texts: Sequence[TextLogits], labels: Sequence[int], temperature: float) -> float:
    """Compute the mean negative logarithm of the right labels' probabilities."""
    tiny = np.finfo(np.float64).tiny
    right = [probabilities(text, temperature)[label] for text, label in zip(texts, labels, strict=True)]
    return -float(np.mean(np.log(np.maximum(right, tiny))))


def fit_temperature(texts: Sequence[TextLogits], labels: Sequence[int]) -> float:
    """Find the temperature of the least log loss, by golden-section search over its logarithm."""
    low, high = math.log(COLDEST), math.log(HOTTEST)
    inner = [high - GOLDEN * (high - low), low + GOLDEN * (high - low)]
    losses = [log_loss(texts, labels, math.exp(place)) for place in inner]
    for _ in range(SECTIONS):
        # The half with the worse inner point loses its end; the better one is an inner point of what is left.
        if losses[0] < losses[1]:
            high = inner[1]
            inner = [high - GOLDEN * (high - low), inner[0]]
            losses = [log_loss(texts, labels, math.exp(inner[0])), losses[0]]
        else:
            low = inner[0]
            inner = [inner[1], low + GOLDEN * (high - low)]
            losses = [losses[1], log_loss(texts, labels, math.exp(inner[1]))]
    return round(math.exp((low + high) / 2), 4)
