"""The classes of a corpus: their names in the order of a model's outputs, their weights, and labels that are none."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from dragoman.errors import ConfigError, DataError
from dragoman.strict import Setting, did_you_mean
from dragoman.tasks.classification import fits_a_line
from train.data.corpus import Example, Splits

if TYPE_CHECKING:
    import torch

# Of a long list, a message tells the beginning.
SHOWN = 10
Weighting = Literal["none", "balanced", "sqrt"]


@dataclass(frozen=True, kw_only=True)
class ClassSettings:
    """The classes, and how much each weighs."""

    names: Annotated[
        tuple[str | int, ...] | None,
        Setting("the classes as [a,b,c], in the order of the model's outputs; null takes the training labels, sorted"),
    ]
    weights: Annotated[
        Weighting,
        Setting("weight of a class in the loss: none, by the inverse of its frequency, or by the root of that"),
    ]
    unknown: Annotated[
        Literal["refuse", "drop"], Setting("examples whose label is no class: refuse the corpus, or leave them out")
    ]


@dataclass(frozen=True, kw_only=True)
class Words:
    """The words of messages on a corpus."""

    item: str
    """An input, in the singular."""
    labels: str
    """Where the labels come from, which is to be checked when they look odd."""

    def count(self, number: int) -> str:
        """Write a number of inputs."""
        return f"1 {self.item}" if number == 1 else f"{number:,} {self.item}s"


def class_names(splits: Splits, classes: ClassSettings, words: Words) -> tuple[str, ...]:
    """List the classes in the order of the model's outputs; raises ConfigError or DataError where they are no two."""
    if classes.names is not None:
        return given_names(classes.names)
    counts = Counter(label for _, examples in splits.items() for _, label in examples)
    if broken := [label for label in sorted(counts) if not fits_a_line(label)]:
        raise DataError(
            f"{label_place(splits, broken[0])} has the label {broken[0]!r}, with signs that cannot be printed, such as "
            f"a line break ({words.count(counts[broken[0]])}); write it in one line, with plain spaces"
        )
    spellings: dict[str, list[str]] = defaultdict(list)
    for label in sorted(counts):
        spellings["".join(label.split()).casefold()].append(label)
    if alike := next((labels for labels in spellings.values() if len(labels) > 1), None):
        shown = " and ".join(
            f"{label!r} ({words.count(counts[label])}, {label_place(splits, label)})" for label in alike
        )
        raise DataError(
            f"labels of {splits.name} differ in case or white space alone: {shown}; write them alike, or give the list "
            "as classes.names=[…] if they are different classes"
        )
    found = sorted({label for _, label in splits.train})
    if len(found) < 2:
        have = f"one class only, {found[0]!r}" if found else "no class"
        raise DataError(
            f"the training {words.item}s of {splits.name} have {have}; a classifier needs two at least: check "
            f"{words.labels}"
        )
    return tuple(found)


def given_names(given: Sequence[str | int]) -> tuple[str, ...]:
    """Return the classes that a setting lists; raises ConfigError where they are no two, or cannot be printed."""
    names = tuple(str(name).strip() for name in given)
    if len(names) < 2 or len(set(names)) < len(names) or "" in names:
        raise ConfigError(f"classes.names must be two names at least, all different, got {list(given)}")
    if broken := [name for name in names if not fits_a_line(name)]:
        raise ConfigError(f"classes.names has a name with signs that cannot be printed: {broken[0]!r}")
    return names


def class_weights(kind: Weighting, labels: Sequence[str], training: Sequence[Example]) -> "torch.Tensor":
    """Weigh the classes so that the training examples weigh 1 in the mean."""
    import torch

    rows = {label: row for row, label in enumerate(labels)}
    counts = np.bincount([rows[label] for _, label in training], minlength=len(rows)).astype(np.float64)
    weights = np.maximum(counts, 1.0) ** -{"none": 0.0, "sqrt": 0.5, "balanced": 1.0}[kind]
    return torch.tensor(weights * counts.sum() / (weights * counts).sum(), dtype=torch.float32)


def check_known(options: Mapping[str, Any], examples: Sequence[Example]) -> None:
    """Raise DataError for labels of a test set that a model of these options does not know."""
    known = options["labels"]
    unknown = Counter(label for _, label in examples if label not in known)
    if unknown:
        shown = ", ".join(f"{label!r} ({count})" for label, count in unknown.most_common(SHOWN))
        raise DataError(
            f"the model does not know {len(unknown)} of the test set's labels: {shown}; its classes are "
            f"{', '.join(known)}: write the labels like these"
        )


def refuse_unknown(splits: Splits, names: Sequence[str], words: Words) -> None:
    """Raise DataError for the first label that is no class, with its place."""
    known = set(names)
    for split, examples in splits.items():
        unknown = [label for _, label in examples if label not in known]
        if unknown:
            raise DataError(
                f"{label_place(splits, unknown[0])} has the label {unknown[0]!r}, which is no class "
                f"({words.count(len(unknown))} of the {split} split have such a label); classes are "
                f"{listed(names)}{did_you_mean(unknown[0], names)}; correct it, add it to "
                f"classes.names and to the training {words.item}s, or set classes.unknown=drop"
            )


def refuse_scarce(
    splits: Splits, names: Sequence[str], train: Sequence[Example], validation: Sequence[Example], words: Words
) -> None:
    """Raise DataError for classes that training and validation do not both have a chance to see."""
    learned = Counter(label for _, label in train)
    either = learned + Counter(label for _, label in validation)
    scarce = [name for name in names if learned[name] < 1 or either[name] < 2]
    if scarce:
        shown = [f"{name!r} ({words.count(either[name])}, {label_place(splits, name)})" for name in scarce[:SHOWN]]
        raise DataError(
            f"{splits.name} has too few different {words.item}s to learn {listed(shown, len(scarce))}; give each class "
            "two at least for training and validation (three, if the test is held out of the same data), or leave it "
            f"out with classes.names=[…] and classes.unknown=drop; if most classes are like that, check {words.labels}"
        )


def label_place(splits: Splits, label: str) -> str:
    """Tell where a label stands first."""
    for split, examples in splits.items():
        for number, example in enumerate(examples, start=1):
            if example[1] == label:
                return example_place(splits, split, number, example)
    return "nowhere"


def example_place(splits: Splits, split: str, number: int, example: Example) -> str:
    """Tell where an example was read, or else its number in its split."""
    return splits.places.get(example, f"example {number} of the {split} split of {splits.name}")


def listed(items: Sequence[str], count: int | None = None) -> str:
    """List the beginning of what may be long, and the number of the rest."""
    rest = (len(items) if count is None else count) - len(items[:SHOWN])
    return ", ".join(items[:SHOWN]) + (f" and {rest} more" if rest else "")
