"""The likeness of two servers' answers; there are no labels to be right or wrong about in a benchmark of speed."""

from collections.abc import Mapping, Sequence
from typing import Any

# The probabilities by label, highest first: of all labels, or of the best ones.
Output = Mapping[str, float]


def quality(outputs: Mapping[int, Output], references: Sequence[Any], ours: Mapping[int, Output]) -> dict[str, float]:
    """Return the percentage of labels that our Bento gives too, and the largest difference of their probabilities."""
    both = [(outputs[index], ours[index]) for index in outputs.keys() & ours.keys()]
    if not both:
        return {}
    best = [next(iter(output)) for output, _ in both]
    alike = [label == next(iter(our_output)) for label, (_, our_output) in zip(best, both, strict=True)]
    apart = [abs(output[label] - our_output[label]) for label, (output, our_output) in zip(best, both, strict=True)]
    return {"agreement": 100 * sum(alike) / len(alike), "difference": 100 * max(apart)}
