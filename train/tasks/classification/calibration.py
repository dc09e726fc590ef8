"""One temperature by which logits are divided, so that a probability says how often an answer is right.

Guo et al. 2017: it is fitted by the log loss of validation examples. It never changes the order of a part's labels.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scoring.base import score_of
from scoring.table import metric

Floats = npt.NDArray[np.float64]
# Beyond these a model is either certain of everything or knows nothing, and the loss has no minimum.
COLDEST, HOTTEST = 0.05, 20.0
# Golden sections of that interval on a logarithmic scale: 40 leave less than a millionth of it.
SECTIONS = 40
GOLDEN = (math.sqrt(5) - 1) / 2
# One number is fitted, which a few hundred examples settle.
MOST_EXAMPLES = 2000
# The group of its figures in the record of a run.
FIGURES = "calibration"


@dataclass(frozen=True, kw_only=True)
class PartLogits:
    """The logits of the parts of inputs, such as the windows of texts, one row each, with the weights of their answers.

    ``starts`` are the first parts of the inputs; the weights of an input's parts sum to one.
    """

    rows: Floats
    weights: Floats
    starts: npt.NDArray[np.int64]

    @classmethod
    def whole(cls, rows: Floats) -> "PartLogits":
        """Take each row for an input of one part."""
        return cls(rows=rows, weights=np.ones(len(rows)), starts=np.arange(len(rows)))


def probabilities(parts: PartLogits, temperature: float) -> Floats:
    """Compute the probabilities of texts, one row each: the averages of those of their parts."""
    scaled = parts.rows / temperature
    raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    weighted = raised * (parts.weights / raised.sum(axis=1))[:, np.newaxis]
    found: Floats = np.add.reduceat(weighted, parts.starts, axis=0)
    return found


def log_loss(parts: PartLogits, labels: Sequence[int], temperature: float) -> float:
    """Compute the mean negative logarithm of the right labels' probabilities."""
    right = probabilities(parts, temperature)[np.arange(len(labels)), labels]
    return -float(np.log(np.maximum(right, np.finfo(np.float64).tiny)).mean())


def fit_temperature(parts: PartLogits, labels: Sequence[int]) -> float:
    """Find the temperature of the least log loss, by golden-section search over its logarithm."""
    low, high = math.log(COLDEST), math.log(HOTTEST)
    inner = [high - GOLDEN * (high - low), low + GOLDEN * (high - low)]
    losses = [log_loss(parts, labels, math.exp(place)) for place in inner]
    for _ in range(SECTIONS):
        # The end beside the worse inner point is cut off; the better one is an inner point of what is left.
        if losses[0] < losses[1]:
            high = inner[1]
            inner = [high - GOLDEN * (high - low), inner[0]]
            losses = [log_loss(parts, labels, math.exp(inner[0])), losses[0]]
        else:
            low = inner[0]
            inner = [inner[1], low + GOLDEN * (high - low)]
            losses = [losses[1], log_loss(parts, labels, math.exp(inner[1]))]
    return round(math.exp((low + high) / 2), 4)


def outputs(parts: PartLogits, names: Sequence[str], temperature: float) -> list[dict[str, float]]:
    """Make the outputs of inputs as the metrics take them: the probabilities of all classes, the highest first."""
    return [
        {names[row]: float(found[row]) for row in np.argsort(-found, kind="stable")}
        for found in probabilities(parts, temperature)
    ]


def chosen_for_calibration(validation: Sequence[Any]) -> Sequence[Any]:
    """Take examples that are spread over the whole set."""
    return validation[:: max(1, len(validation) // MOST_EXAMPLES)]


def calibrate(parts: PartLogits, references: Sequence[str], names: Sequence[str]) -> Mapping[str, float]:
    """Fit the temperature; returns it with the calibration error before and after, as figures of a run's record."""
    error = metric("ECE")
    before = score_of(error, outputs(parts, names, 1.0), references)
    temperature = fit_temperature(parts, [names.index(reference) for reference in references])
    after = score_of(error, outputs(parts, names, temperature), references)
    found = {"temperature": temperature, "ece_before": before, "ece_after": after}
    return {f"{FIGURES}/{name}": value for name, value in found.items()}
