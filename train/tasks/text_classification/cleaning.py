"""The cleaning of labelled texts: what would teach something wrong is left out, and counted by reason.

The rules, in order; a text is counted under the first that applies. Two texts are the same when they agree but for
white space; what stays keeps its own.

- ``empty``: there is no text. With the next, the only rule for test sets, which stay otherwise as they are published.
- ``unknown_label``: the label is none of the classes, and ``classes.unknown`` says drop (by default that is an error).
- ``two_labels``: the split has the same text under another label as well; all of them are left out.
- ``duplicate``: the same text with the same label again.
- ``leaked_into_test``, ``leaked_into_validation``: the text stands in that split, under whatever label and in whatever
  case, which most models never see. Validation texts are held against the test sets in the same way.

What a test set has of duplicates and texts with two labels is told in the report as its ``flaws``.
"""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from dragoman.errors import ConfigError, DataError
from dragoman.strict import Setting, did_you_mean
from dragoman.tasks.classification import fits_a_line
from train.data.corpus import CleanCorpus, SplitReport, Splits
from train.tasks.text_classification.examples import LabelledText

# Of a long list, a message tells the beginning.
SHOWN = 10
# The only reasons to leave a text out of a test set.
UNUSABLE = ("empty", "unknown_label")


@dataclass(frozen=True, kw_only=True)
class ClassSettings:
    """The classes, and how much each weighs."""

    names: Annotated[
        tuple[str | int, ...] | None,
        Setting("the classes as [a,b,c], in the order of the model's outputs; null takes the training labels, sorted"),
    ]
    weights: Annotated[
        Literal["none", "balanced", "sqrt"],
        Setting("weight of a class in the loss: none, by the inverse of its frequency, or by the root of that"),
    ]
    unknown: Annotated[
        Literal["refuse", "drop"], Setting("texts whose label is no class: refuse the corpus, or leave them out")
    ]


def class_names(splits: Splits, classes: ClassSettings) -> tuple[str, ...]:
    """List the classes in the order of the model's outputs; raises ConfigError or DataError where they are no two."""
    if classes.names is not None:
        names = tuple(str(name).strip() for name in classes.names)
        if len(names) < 2 or len(set(names)) < len(names) or "" in names:
            raise ConfigError(f"classes.names must be two names at least, all different, got {list(classes.names)}")
        if broken := [name for name in names if not fits_a_line(name)]:
            raise ConfigError(f"classes.names has a name with signs that cannot be printed: {broken[0]!r}")
        return names
    counts = Counter(label for _, examples in splits.items() for _, label in examples)
    if broken := [label for label in sorted(counts) if not fits_a_line(label)]:
        raise DataError(
            f"{_place(splits, broken[0])} has the label {broken[0]!r}, with signs that cannot be printed, such as a "
            f"line break ({_texts(counts[broken[0]])}); write it in one line, with plain spaces"
        )
    spellings: dict[str, list[str]] = defaultdict(list)
    for label in sorted(counts):
        spellings["".join(label.split()).casefold()].append(label)
    if alike := next((labels for labels in spellings.values() if len(labels) > 1), None):
        shown = " and ".join(f"{label!r} ({_texts(counts[label])}, {_place(splits, label)})" for label in alike)
        raise DataError(
            f"labels of {splits.name} differ in case or white space alone: {shown}; write them alike, or give the list "
            "as classes.names=[…] if they are different classes"
        )
    found = sorted({label for _, label in splits.train})
    if len(found) < 2:
        have = f"one class only, {found[0]!r}" if found else "no class"
        raise DataError(
            f"the training texts of {splits.name} have {have}; a classifier needs two at least: check data.label_column"
        )
    return tuple(found)


def clean(splits: Splits, classes: ClassSettings) -> CleanCorpus:
    """Apply every rule; raises DataError for labels that cannot be learned, or when a split has nothing left."""
    names = class_names(splits, classes)
    if classes.unknown == "refuse":
        _refuse_unknown(splits, names)
    reports = {name: SplitReport(read=len(examples)) for name, examples in splits.items()}
    details: dict[str, dict[str, object]] = {}
    tests = {}
    for name, examples in splits.tests.items():
        judged = list(_judged(examples, names))
        tests[name] = [example for example, reason in judged if reason not in UNUSABLE]
        flaws = Counter(reason for _, reason in judged if reason)
        for reason in UNUSABLE:
            reports[name].dropped[reason] = flaws.pop(reason, 0)
        details[name] = {"flaws": dict(flaws)} if flaws else {}
    test_texts = {same_words(text) for examples in tests.values() for text, _ in examples}
    validation = _sieve(splits.validation, names, {"leaked_into_test": test_texts}, reports["validation"])
    leaks = {
        "leaked_into_test": test_texts,
        "leaked_into_validation": {same_words(text) for text, _ in validation},
    }
    train = _sieve(splits.train, names, leaks, reports["train"])
    _refuse_scarce(splits, names, train, validation)
    cleaned = dataclasses.replace(splits, train=train, validation=validation, tests=tests)
    distribution = {name: Counter(label for _, label in examples) for name, examples in cleaned.items()}
    for name, counts in distribution.items():
        details[name] = {"classes": {label: counts[label] for label in names}, **details.get(name, {})}
    summary = _summary(distribution["train"], reports["train"].dropped)
    return CleanCorpus.of(cleaned, reports, details=details, summary=summary)


def same_text(text: str) -> str:
    """Return what two texts have in common that count as the same."""
    return " ".join(text.split())


def same_words(text: str) -> str:
    """Return what a text has in common with one that would give away its label."""
    return same_text(text).casefold()


def _judged(examples: Sequence[LabelledText], names: Sequence[str]) -> Iterator[tuple[LabelledText, str | None]]:
    """Give every example with the first rule of its own split that applies to it, or None."""
    known = set(names)
    labels: dict[str, set[str]] = defaultdict(set)
    for text, label in examples:
        if label in known:
            labels[same_text(text)].add(label)
    seen: set[str] = set()
    for example in examples:
        text, label = same_text(example[0]), example[1]
        if not text:
            yield example, "empty"
        elif label not in known:
            yield example, "unknown_label"
        elif len(labels[text]) > 1:
            yield example, "two_labels"
        else:
            yield example, "duplicate" if text in seen else None
            seen.add(text)


def _sieve(
    examples: Sequence[LabelledText],
    names: Sequence[str],
    leaks: Mapping[str, Container[str]],
    report: SplitReport,
) -> list[LabelledText]:
    """Keep the examples that no rule applies to; count the others under the first that does."""
    kept = []
    for example, flaw in _judged(examples, names):
        text = same_words(example[0])
        reason = flaw or next((leak for leak, texts in leaks.items() if text in texts), None)
        if reason is None:
            kept.append(example)
        else:
            report.dropped[reason] += 1
    return kept


def _refuse_unknown(splits: Splits, names: Sequence[str]) -> None:
    known = set(names)
    for split, examples in splits.items():
        unknown = [label for _, label in examples if label not in known]
        if unknown:
            raise DataError(
                f"{_place(splits, unknown[0])} has the label {unknown[0]!r}, which is no class ({_texts(len(unknown))} "
                f"of the {split} split have such a label); classes are "
                f"{_listed(names)}{did_you_mean(unknown[0], names)}; correct it, add it to "
                "classes.names and to the training texts, or set classes.unknown=drop"
            )


def _refuse_scarce(
    splits: Splits, names: Sequence[str], train: Sequence[LabelledText], validation: Sequence[LabelledText]
) -> None:
    """Raise DataError for classes that training and validation do not both have a chance to see."""
    learned = Counter(label for _, label in train)
    either = learned + Counter(label for _, label in validation)
    scarce = [name for name in names if learned[name] < 1 or either[name] < 2]
    if scarce:
        shown = [f"{name!r} ({_texts(either[name])}, {_place(splits, name)})" for name in scarce[:SHOWN]]
        raise DataError(
            f"{splits.name} has too few different texts to learn {_listed(shown, len(scarce))}; give each class two at "
            "least for training and validation (three, if the test is held out of the same file), or leave it out with "
            "classes.names=[…] and classes.unknown=drop; if most classes are like that, check data.label_column"
        )


def _place(splits: Splits, label: str) -> str:
    """Tell where a label stands first."""
    for split, examples in splits.items():
        for number, example in enumerate(examples, start=1):
            if example[1] == label:
                return splits.places.get(example, f"example {number} of the {split} split of {splits.name}")
    return "nowhere"


def _summary(counts: Counter[str], dropped: Counter[str]) -> str:
    classes = _listed([f"{label} {count:,}" for label, count in counts.most_common(SHOWN)], len(counts))
    left_out = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in dropped.items() if count)
    return f"{len(counts)} classes ({classes})" + (f", left out: {left_out}" if left_out else "")


def _listed(items: Sequence[str], count: int | None = None) -> str:
    rest = (len(items) if count is None else count) - len(items[:SHOWN])
    return ", ".join(items[:SHOWN]) + (f" and {rest} more" if rest else "")


def _texts(count: int) -> str:
    return "1 text" if count == 1 else f"{count:,} texts"
