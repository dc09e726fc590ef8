"""The cleaning of labelled inputs: what would teach something wrong is left out, and counted by reason.

The rules, in order; an example is counted under the first that applies.

- a flaw of the input itself, such as ``empty`` for a text. With the next, the only rule for test sets, which stay
  otherwise as they are published.
- ``unknown_label``: the label is none of the classes, and ``classes.unknown`` says drop (by default that is an error).
- ``two_labels``: the split has the same input under another label as well; all of them are left out.
- ``duplicate``: the same input with the same label again.
- ``leaked_into_test``, ``leaked_into_validation``: the input stands in that split, under whatever label. Validation
  inputs are held against the test sets in the same way.

What a test set has of duplicates and inputs with two labels is told in the report as its ``flaws``.
"""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from train.data.corpus import CleanCorpus, Example, SplitReport, Splits
from train.tasks.classification.classes import SHOWN as CLASSES_SHOWN
from train.tasks.classification.classes import (
    ClassSettings,
    Words,
    class_names,
    example_place,
    listed,
    refuse_scarce,
    refuse_unknown,
)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """A kind of inputs: what is wrong with one, and when two of them are the same."""

    words: Words
    flaw: Callable[[Any], str | None]
    """The reason why an input cannot be used at all, or None."""
    same: Callable[[Any], Hashable]
    """What two inputs have in common that count as the same."""
    leak: Callable[[Any], Hashable]
    """What an input has in common with one that would give away its label."""
    places: int = 0
    """For so many examples of each reason the report tells where they stand."""


class _Sieve:
    """The rules, over the splits of one corpus, and what they found."""

    def __init__(self, splits: Splits, names: Sequence[str], inputs: Inputs) -> None:
        self.splits, self.names, self.inputs = splits, names, inputs
        self.reports = {name: SplitReport(read=len(examples)) for name, examples in splits.items()}
        self.places: dict[str, dict[str, list[str]]] = {name: {} for name in self.reports}

    def judged(self, split: str, examples: Sequence[Example]) -> Iterator[tuple[Example, str | None, bool]]:
        """Give every example with the first rule of its own split that applies or None, and if it can be used."""
        known = set(self.names)
        unusable = [self.inputs.flaw(item) or (None if label in known else "unknown_label") for item, label in examples]
        rows = list(zip(examples, unusable, strict=True))
        keys = [self.inputs.same(item) if flaw is None else None for (item, _), flaw in rows]
        labels: dict[Hashable, set[str]] = defaultdict(set)
        for ((_, label), flaw), key in zip(rows, keys, strict=True):
            if flaw is None:
                labels[key].add(label)
        first: dict[Hashable, str] = {}
        for number, ((example, flaw), key) in enumerate(zip(rows, keys, strict=True), start=1):
            reason, place = flaw, example_place(self.splits, split, number, example)
            if flaw is None:
                reason = "two_labels" if len(labels[key]) > 1 else "duplicate" if key in first else None
            if reason is not None:
                self._note(split, reason, place, first.get(key) if flaw is None else None)
            if flaw is None:
                first.setdefault(key, place)
            yield example, reason, flaw is None

    def test(self, name: str, examples: Sequence[Example]) -> tuple[list[Example], dict[str, int]]:
        """Keep what can be used; give it with the counts of what other rules say of it."""
        kept, flaws = [], Counter[str]()
        for example, reason, usable in self.judged(name, examples):
            if usable:
                kept.append(example)
            if reason is not None:
                (flaws if usable else self.reports[name].dropped)[reason] += 1
        return kept, dict(flaws)

    def kept(
        self, name: str, examples: Sequence[Example], leaks: Mapping[str, Mapping[Hashable, str]]
    ) -> list[Example]:
        """Keep the examples that no rule applies to; count the others under the first that does."""
        kept = []
        for number, (example, flaw, _) in enumerate(self.judged(name, examples), start=1):
            reason = flaw
            if flaw is None:
                key = self.inputs.leak(example[0])
                reason = next((leak for leak, items in leaks.items() if key in items), None)
                if reason is not None:
                    self._note(name, reason, example_place(self.splits, name, number, example), leaks[reason][key])
            if reason is None:
                kept.append(example)
            else:
                self.reports[name].dropped[reason] += 1
        return kept

    def by_leak(self, sets: Mapping[str, Sequence[Example]]) -> dict[Hashable, str]:
        """Give the place of every input of held-out sets, by what would give away its label."""
        return {
            self.inputs.leak(example[0]): example_place(self.splits, name, number, example)
            for name, examples in sets.items()
            for number, example in enumerate(examples, start=1)
        }

    def _note(self, split: str, reason: str, place: str, other: str | None) -> None:
        noted = self.places[split].setdefault(reason, [])
        if len(noted) < self.inputs.places:
            # Equal examples have the same places, which are all told already.
            noted.append(place if other in (None, place) else f"{place}, the same as {other}")


def clean(splits: Splits, classes: ClassSettings, inputs: Inputs) -> CleanCorpus:
    """Apply every rule; raises DataError for labels that cannot be learned, or when a split has nothing left."""
    names = class_names(splits, classes, inputs.words)
    if classes.unknown == "refuse":
        refuse_unknown(splits, names, inputs.words)
    sieve = _Sieve(splits, names, inputs)
    details: dict[str, dict[str, object]] = {name: {} for name in sieve.reports}
    tests = {}
    for name, examples in splits.tests.items():
        tests[name], flaws = sieve.test(name, examples)
        details[name] = {"flaws": flaws} if flaws else {}
    in_tests = sieve.by_leak(tests)
    validation = sieve.kept("validation", splits.validation, {"leaked_into_test": in_tests})
    leaks = {"leaked_into_test": in_tests, "leaked_into_validation": sieve.by_leak({"validation": validation})}
    train = sieve.kept("train", splits.train, leaks)
    refuse_scarce(splits, names, train, validation, inputs.words)
    cleaned = dataclasses.replace(splits, train=train, validation=validation, tests=tests)
    distribution = {name: Counter(label for _, label in examples) for name, examples in cleaned.items()}
    for name, counts in distribution.items():
        places = sieve.places[name]
        details[name] = {
            "classes": {label: counts[label] for label in names},
            **details[name],
            **({"places": places} if inputs.places and places else {}),
        }
    summary = _summary(distribution["train"], sieve.reports["train"].dropped)
    return CleanCorpus.of(cleaned, sieve.reports, details=details, summary=summary)


def _summary(counts: Counter[str], dropped: Counter[str]) -> str:
    classes = listed([f"{label} {count:,}" for label, count in counts.most_common(CLASSES_SHOWN)], len(counts))
    left_out = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in dropped.items() if count)
    return f"{len(counts)} classes ({classes})" + (f", left out: {left_out}" if left_out else "")
