"""One temperature by which logits are divided, so that a probability says how often an answer is right.

Guo et al. 2017: it is fitted by the log loss of validation texts. It never changes the order of a window's labels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
# Beyond these a model is either certain of everything or knows nothing, and the loss has no minimum.
COLDEST, HOTTEST = 0.05, 20.0
# Golden sections of that interval on a logarithmic scale: 40 leave less than a millionth of it.
SECTIONS = 40
GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, kw_only=True)
class WindowLogits:
    """The logits of the windows of texts, one row each, with the weights of their probabilities.

    ``starts`` are the first windows of the texts; the weights of a text's windows sum to one.
    """

    rows: Floats
    weights: Floats
    starts: npt.NDArray[np.int64]


def probabilities(windows: WindowLogits, temperature: float) -> Floats:
    """Compute the probabilities of texts, one row each: the averages of those of their windows."""
    scaled = windows.rows / temperature
    raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    weighted = raised * (windows.weights / raised.sum(axis=1))[:, np.newaxis]
    found: Floats = np.add.reduceat(weighted, windows.starts, axis=0)
    return found


def log_loss(windows: WindowLogits, labels: Sequence[int], temperature: float) -> float:
    """Compute the mean negative logarithm of the right labels' probabilities."""
    right = probabilities(windows, temperature)[np.arange(len(labels)), labels]
    return -float(np.log(np.maximum(right, np.finfo(np.float64).tiny)).mean())


def fit_temperature(windows: WindowLogits, labels: Sequence[int]) -> float:
    """Find the temperature of the least log loss, by golden-section search over its logarithm."""
    low, high = math.log(COLDEST), math.log(HOTTEST)
    inner = [high - GOLDEN * (high - low), low + GOLDEN * (high - low)]
    losses = [log_loss(windows, labels, math.exp(place)) for place in inner]
    for _ in range(SECTIONS):
        # The end beside the worse inner point is cut off; the better one is an inner point of what is left.
        if losses[0] < losses[1]:
            high = inner[1]
            inner = [high - GOLDEN * (high - low), inner[0]]
            losses = [log_loss(windows, labels, math.exp(inner[0])), losses[0]]
        else:
            low = inner[0]
            inner = [inner[1], low + GOLDEN * (high - low)]
            losses = [losses[1], log_loss(windows, labels, math.exp(inner[1]))]
    return round(math.exp((low + high) / 2), 4)
