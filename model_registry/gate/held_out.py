"""The items that a decision is made on: held-out sets of the candidate's training run, or files given by hand."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman.bundle.manifest import Manifest
from dragoman.errors import DataError
from dragoman.text.lines import read_lines
from scoring.held_out import HeldOutError, HeldOutItem, items_digest, read_held_out, short_digest

VALIDATION = "validation"
GIVE_FILES = "give one with --held-out FILE.parquet, or with --inputs FILE --references FILE"


@dataclass(frozen=True, kw_only=True)
class HeldOutSet:
    """Items under the label that scores name them by, ``corpus/split@digest``."""

    label: str
    items: Sequence[HeldOutItem]


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """All sets of one decision, pooled in order; ``left_out`` are labels that were not held out for the champion."""

    sets: tuple[HeldOutSet, ...]
    left_out: tuple[str, ...] = ()

    @property
    def inputs(self) -> list[str | bytes]:
        """The inputs that the models answer."""
        return [item.input for held_out in self.sets for item in held_out.items]

    @property
    def references(self) -> list[Any]:
        """The references that their outputs are compared with."""
        return [item.reference for held_out in self.sets for item in held_out.items]

    @property
    def digest(self) -> str:
        """The identity of the pooled items in the history of decisions."""
        digests = sorted(items_digest(held_out.items).hex() for held_out in self.sets)
        return hashlib.sha256(" ".join(digests).encode()).hexdigest()


def from_file(path: Path) -> HeldOut:
    """Read a held-out set of any task; raises DataError."""
    items = _read(path)
    if not items:
        raise DataError(f"{path} holds no items; {GIVE_FILES}")
    return HeldOut(sets=(HeldOutSet(label=f"{path.name}@{short_digest(items)}", items=items),))


def from_lines(inputs: Path, references: Path) -> HeldOut:
    """Read line-aligned text files, plain or .gz; raises DataError when they do not correspond."""
    texts, expected = list(read_lines(str(inputs))), list(read_lines(str(references)))
    if len(texts) != len(expected) or not texts:
        raise DataError(
            f"{inputs} has {len(texts)} lines and {references} has {len(expected)}; line n of one must be what is "
            "expected for line n of the other, and there must be one"
        )
    rows = enumerate(zip(texts, expected, strict=True), start=1)
    items = [HeldOutItem(id=str(number), input=text, reference=line) for number, (text, line) in rows]
    return HeldOut(sets=(HeldOutSet(label=f"{inputs.name}@{short_digest(items)}", items=items),))


def from_training(
    files: Sequence[Path], candidate: Manifest, champion: Manifest | None, *, validation: bool = False
) -> HeldOut:
    """Read the test sets (or the validation set) that training stored, and that both bundles were scored on.

    Raises DataError when a file is not what the candidate's scores name, and when nothing was held out for both.
    """
    sets = [_matching(file, candidate) for file in files if (file.stem == VALIDATION) == validation]
    left_out: tuple[str, ...] = ()
    if champion is not None:
        # A set that guided early stopping or tuning of the champion is no test set for it.
        labels = {score.test_set for score in champion.scores}
        fair = {label.rpartition("@")[2] for label in labels if validation or f"/{VALIDATION}@" not in label}
        left_out = tuple(one.label for one in sets if one.label.rpartition("@")[2] not in fair)
        sets = [one for one in sets if one.label not in left_out]
    if not sets:
        kind = "validation set" if validation else "test set"
        missing = f"the training run of {candidate.name} {candidate.version} has stored no {kind}"
        if left_out:
            missing = f"no {kind} was held out for both models: the champion has no score on {', '.join(left_out)}"
        raise DataError(f"{missing}; {GIVE_FILES}")
    return HeldOut(sets=tuple(sets), left_out=left_out)


def _matching(file: Path, manifest: Manifest) -> HeldOutSet:
    """Read a set and find the label by which the scores of a bundle name it."""
    items = _read(file)
    ending = f"/{file.stem}@{short_digest(items)}"
    labels = sorted({score.test_set for score in manifest.scores})
    for label in labels:
        if items and label.endswith(ending):
            return HeldOutSet(label=label, items=items)
    raise DataError(
        f"the held-out set {file.name} of the training run is not what {manifest.name} {manifest.version} was scored "
        f"on: its label ends in {ending}, and the model's scores name {', '.join(labels) or 'none'}; {GIVE_FILES}"
    )


def _read(path: Path) -> list[HeldOutItem]:
    try:
        return read_held_out(path)
    except HeldOutError as error:
        raise DataError(str(error)) from error
