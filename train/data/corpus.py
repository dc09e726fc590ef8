"""Examples in their splits, the fingerprint that covers every one of them, seeded hold-outs and folds."""

import dataclasses
import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dragoman.errors import DataError
from scoring.held_out import HeldOutItem, items_digest

Example = tuple[Any, Any]
"""An input (text or bytes) and its reference (any JSON value)."""
# A hold-out takes no more than this share of a corpus, so that a small one still trains.
LARGEST_HOLD_OUT = 0.1


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Examples by their use; ``tests`` has one entry for each test set, the first being the main one.

    ``further_metrics`` are scored as well, where papers on the corpus report them.
    """

    name: str
    train: Sequence[Example]
    validation: Sequence[Example]
    tests: Mapping[str, Sequence[Example]]
    further_metrics: tuple[str, ...] = ()
    stratified: bool = False
    """References are classes, and each has its share in every hold-out and fold."""
    places: Mapping[Example, str] = field(default_factory=dict, compare=False, repr=False)
    """Where an example was read, such as ``x.csv line 17``, for messages; may be empty."""
    notes: Mapping[str, object] = field(default_factory=dict, compare=False, repr=False)
    """What else the report of the corpus tells of its reading, ready for JSON."""

    def items(self) -> Iterator[tuple[str, Sequence[Example]]]:
        """Give every split with its name: train, validation, then the test sets."""
        yield "train", self.train
        yield "validation", self.validation
        yield from self.tests.items()

    def held_out(self) -> Iterator[tuple[str, Sequence[Example]]]:
        """Give the sets that a model is scored on, as far as there are any: the test sets, then validation."""
        for name, examples in [*self.tests.items(), ("validation", self.validation)]:
            if examples:
                yield name, examples


@dataclass
class SplitReport:
    """Counts of the examples of a split: read, and dropped by reason."""

    read: int
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def kept(self) -> int:
        """Count the examples that remain."""
        return self.read - self.dropped.total()


@dataclass(frozen=True, kw_only=True)
class CleanCorpus:
    """A corpus that is ready for training, with the counts of what was left out."""

    splits: Splits
    digests: Mapping[str, str]
    """The sha256 of every split."""
    reports: Mapping[str, SplitReport]
    details: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """By split, what else the report of the corpus tells, ready for JSON."""
    summary: str = ""
    """The same in a few words, for the line before training starts."""

    @classmethod
    def of(
        cls,
        splits: Splits,
        reports: Mapping[str, SplitReport] | None = None,
        details: Mapping[str, Mapping[str, object]] | None = None,
        summary: str = "",
    ) -> "CleanCorpus":
        """Describe splits that are clean, by default because nothing had to be dropped; raises DataError for none."""
        if reports is None:
            reports = {name: SplitReport(read=len(examples)) for name, examples in splits.items()}
        for name, examples in splits.items():
            if not examples:
                counts = reports[name].dropped.most_common()
                dropped = ", ".join(f"{reason} {count}" for reason, count in counts if count)
                raise DataError(
                    f"the {name} split of {splits.name} has nothing left of {reports[name].read} examples"
                    f"{f' (dropped: {dropped}); loosen the cleaning or' if dropped else ';'} give more data"
                )
        digests = digest_splits(splits)
        return cls(splits=splits, digests=digests, reports=reports, details=details or {}, summary=summary)

    @property
    def fingerprint(self) -> str:
        """Digest, ``sha256:…``, of every row of every split; moving one character between two cells changes it."""
        whole = hashlib.sha256()
        for name, examples in self.splits.items():
            whole.update(f"{name}\0{len(examples)}\0".encode() + bytes.fromhex(self.digests[name]))
        return f"sha256:{whole.hexdigest()}"

    def as_dict(self) -> dict[str, object]:
        """Give the corpus report, ready for JSON."""
        return {
            "name": self.splits.name,
            "fingerprint": self.fingerprint,
            **self.splits.notes,
            "splits": {
                name: {
                    "digest": self.digests[name],
                    "read": report.read,
                    "kept": report.kept,
                    "dropped": dict(sorted((+report.dropped).items())),
                    **self.details.get(name, {}),
                }
                for name, report in self.reports.items()
            },
        }


def held_out_items(examples: Sequence[Example]) -> list[HeldOutItem]:
    """Number examples, as held-out sets are stored."""
    return [HeldOutItem(id=str(number), input=item, reference=gold) for number, (item, gold) in enumerate(examples)]


def digest_splits(splits: Splits) -> dict[str, str]:
    """Compute the sha256 of every split, over its rows in order.

    Raises DataError for an example that cannot be stored: half a surrogate pair, or a reference that is no JSON.
    """
    digests = {}
    for name, examples in splits.items():
        try:
            digests[name] = items_digest(held_out_items(examples)).hex()
        except (TypeError, ValueError):
            for number, item in enumerate(held_out_items(examples), start=1):
                try:
                    items_digest([item])
                except (TypeError, ValueError) as error:
                    raise DataError(
                        f"example {number} of the {name} split of {splits.name} cannot be stored ({error}); repair it, "
                        "or leave it out"
                    ) from error
            raise
    return digests


def hold_out(
    name: str,
    examples: Sequence[Example],
    *,
    validation_size: int,
    test_size: int,
    seed: int,
    stratified: bool = False,
) -> Splits:
    """Split by input: all examples of one input go to one split, and held-out inputs keep one example each.

    A hold-out takes at most a tenth of the distinct inputs; raises DataError when that leaves nothing. With
    ``stratified`` every class has its share of a hold-out, at least one of its inputs if it has three, for which a
    hold-out may grow. An input that stands in two classes is in training, where cleaning finds it.
    """
    by_input = _by_input(examples)
    inputs = list(by_input)
    most = int(len(inputs) * LARGEST_HOLD_OUT)
    if most < 1:
        raise DataError(
            f"{name} has {len(inputs)} distinct inputs, too few to hold any out for validation and test; "
            "give at least 10, or validation and test files of their own"
        )
    random.Random(seed).shuffle(inputs)  # noqa: S311 - a seeded split, no secret
    strata = _strata(by_input, stratified)
    counts = Counter(strata[item] for item in inputs if item in strata)
    wanted = [_shares(counts, min(size, most)) for size in (validation_size, test_size)]
    held: list[list[Example]] = [[], []]
    train: list[Example] = []
    for item in inputs:
        stratum = strata.get(item)
        part = next((part for part in range(2) if item in strata and wanted[part][stratum]), None)
        if part is None:
            train += by_input[item]
        else:
            wanted[part][stratum] -= 1
            held[part].append(by_input[item][0])
    return Splits(name=name, train=train, validation=held[0], tests={"test": held[1]}, stratified=stratified)


def with_held_out(
    name: str,
    train: Sequence[Example],
    validation: Sequence[Example] | None,
    test: Sequence[Example] | None,
    *,
    validation_size: int,
    test_size: int,
    seed: int,
    stratified: bool = False,
) -> Splits:
    """Complete the splits of files of the user's own: a split that is None is held out of ``train``."""
    if validation is not None and test is not None:
        return Splits(name=name, train=train, validation=validation, tests={"test": test}, stratified=stratified)
    splits = hold_out(
        name,
        train,
        validation_size=validation_size if validation is None else 0,
        test_size=test_size if test is None else 0,
        seed=seed,
        stratified=stratified,
    )
    return dataclasses.replace(
        splits,
        validation=splits.validation if validation is None else validation,
        tests=splits.tests if test is None else {"test": test},
    )


def folds(splits: Splits, *, count: int, seed: int) -> list[Splits]:
    """Split for cross-validation: in each fold another part of the training and validation examples validates.

    Parts are cut by input, so that none is on both sides, and each class of stratified splits has its share of every
    part. The test sets stay as they are, unseen. Raises DataError when there are fewer distinct inputs than folds.
    """
    by_input = _by_input([*splits.train, *splits.validation])
    inputs = list(by_input)
    if len(inputs) < count:
        raise DataError(f"{splits.name} has {len(inputs)} distinct inputs, too few for {count} folds")
    random.Random(seed).shuffle(inputs)  # noqa: S311 - a seeded split, no secret
    strata = _strata(by_input, splits.stratified)
    # Dealt out class by class, like sorted cards: the parts differ by one input of a class at most.
    inputs.sort(key=lambda item: str(strata.get(item)))
    parts = [inputs[start::count] for start in range(count)]
    return [
        dataclasses.replace(
            splits,
            train=[example for other in parts if other is not part for item in other for example in by_input[item]],
            validation=[by_input[item][0] for item in part],
        )
        for part in parts
    ]


def _by_input(examples: Sequence[Example]) -> dict[Any, list[Example]]:
    grouped: dict[Any, list[Example]] = {}
    for example in examples:
        grouped.setdefault(example[0], []).append(example)
    return grouped


def _strata(by_input: Mapping[Any, Sequence[Example]], stratified: bool) -> dict[Any, Any]:
    """Name the stratum of every input: its class, or one for all; inputs of two classes have none."""
    if not stratified:
        return dict.fromkeys(by_input)
    return {item: found[0][1] for item, found in by_input.items() if all(gold == found[0][1] for _, gold in found)}


def _shares(counts: Counter[Any], size: int) -> Counter[Any]:
    """Divide ``size`` among strata in proportion to their counts: at least one for those of three or more."""
    if size == 0:
        return Counter()
    whole = counts.total()
    # Two hold-outs of at most half of what is left beside one example: something remains to train on.
    most = {stratum: (count - 1) // 2 for stratum, count in counts.items()}
    taken = Counter({stratum: min(max(size * counts[stratum] // whole, 1), most[stratum]) for stratum in counts})
    while taken.total() < size and (growing := [stratum for stratum in counts if taken[stratum] < most[stratum]]):
        taken[max(growing, key=lambda stratum: size * counts[stratum] - taken[stratum] * whole)] += 1
    while taken.total() > size and (shrinking := [stratum for stratum in counts if taken[stratum] > 1]):
        taken[min(shrinking, key=lambda stratum: size * counts[stratum] - taken[stratum] * whole)] -= 1
    return taken
