"""The outputs of peers in our form, ``{label: probability}`` with the best label first, and what they are worth."""

from collections.abc import Mapping, Sequence
from typing import Any

Output = Mapping[str, float]


def of_label(label: str) -> Output:
    """Return the output of a peer that answers with a label alone."""
    return {label: 1.0}


def of_best(found: Mapping[str, Any]) -> Output:
    """Return the output of a peer that answers with its best label and the probability of that."""
    return {found["label"]: found["score"]}


def quality(outputs: Mapping[int, Output], references: Sequence[str], ours: Mapping[int, Output]) -> dict[str, float]:
    """Return the percentages of labels that are right, and of those that our Bento's answers have too."""
    labels = {index: next(iter(output)) for index, output in outputs.items()}
    right = [label == references[index] for index, label in labels.items()]
    alike = [labels[index] == next(iter(ours[index])) for index in labels.keys() & ours.keys()]
    measures = {"accuracy": right, "agreement": alike}
    return {name: 100 * sum(found) / len(found) for name, found in measures.items() if found}
