"""The segments that a decision is made on: held-out sets of the candidate's training run, or files given by hand."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dragoman.translate_files import read_lines

from dragoman.errors import DataError
from dragoman.manifest import Manifest
from dragoman.segments import LABEL_DIGEST_LENGTH, Pair, pairs_digest, read_segments

# Of a run's directory and of its artifacts.
SEGMENTS_FOLDER = "segments"
VALIDATION = "validation"
GIVE_FILES = "give held-out segments with --source FILE --reference FILE"


@dataclass(frozen=True, kw_only=True)
class HeldOutSet:
    """Segments under the label that scores name them by, ``corpus/split@digest``."""

    label: str
    pairs: Sequence[Pair]


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """All sets of one decision, pooled in order; ``left_out`` are labels that were not held out for the champion."""

    sets: tuple[HeldOutSet, ...]
    left_out: tuple[str, ...] = ()

    @property
    def sources(self) -> list[str]:
        """What is translated."""
        return [source for held_out in self.sets for source, _ in held_out.pairs]

    @property
    def references(self) -> list[str]:
        """What it is compared with."""
        return [reference for held_out in self.sets for _, reference in held_out.pairs]

    @property
    def digest(self) -> str:
        """What identifies the pooled segments in the history of decisions."""
        digests = sorted(pairs_digest(held_out.pairs).hex() for held_out in self.sets)
        return hashlib.sha256(" ".join(digests).encode()).hexdigest()


def from_files(source: Path, reference: Path) -> HeldOut:
    """Line-aligned text files, plain or .gz; raises DataError when they do not correspond."""
    sources, references = list(read_lines(str(source))), list(read_lines(str(reference)))
    if len(sources) != len(references) or not sources:
        raise DataError(
            f"{source} has {len(sources)} lines and {reference} has {len(references)}; line n of one must translate "
            "line n of the other, and there must be one"
        )
    pairs = list(zip(sources, references, strict=True))
    return HeldOut(sets=(HeldOutSet(label=f"{source.name}@{_short_digest(pairs)}", pairs=pairs),))


def from_training(
    files: Sequence[Path], candidate: Manifest, champion: Manifest | None, *, validation: bool = False
) -> HeldOut:
    """The test sets (or the validation set) that training stored, and that both bundles were scored on.

    Raises DataError when a file is not what the candidate's scores name, and when nothing was held out for both.
    """
    wanted = [file for file in files if (file.stem == VALIDATION) == validation]
    sets = [_matching(file, candidate) for file in wanted]
    if champion is not None:
        fair = _held_out_digests(champion, validation=validation)
        left_out = tuple(one.label for one in sets if _label_digest(one.label) not in fair)
        sets = [one for one in sets if one.label not in left_out]
    else:
        left_out = ()
    if not sets:
        raise DataError(_none_found(candidate, left_out, validation=validation))
    return HeldOut(sets=tuple(sets), left_out=left_out)


def _matching(file: Path, manifest: Manifest) -> HeldOutSet:
    pairs = read_segments(file)
    ending = f"/{file.stem}@{_short_digest(pairs)}"
    labels = sorted({score.test_set for score in manifest.scores})
    for label in labels:
        if pairs and label.endswith(ending):
            return HeldOutSet(label=label, pairs=pairs)
    raise DataError(
        f"the segments {file.name} of the training run are not those that {manifest.name} {manifest.version} was "
        f"scored on: their label ends in {ending}, and its scores name {', '.join(labels) or 'none'}; {GIVE_FILES}"
    )


def _held_out_digests(manifest: Manifest, *, validation: bool) -> set[str]:
    # What early stopping or tuning has looked at is no test set, even if it is one of another model's.
    labels = {score.test_set for score in manifest.scores}
    return {_label_digest(label) for label in labels if validation or f"/{VALIDATION}@" not in label}


def _none_found(candidate: Manifest, left_out: Sequence[str], *, validation: bool) -> str:
    kind = "validation set" if validation else "test set"
    if left_out:
        return (
            f"no {kind} was held out for both models: the champion has no score on {', '.join(left_out)}; {GIVE_FILES}"
        )
    return f"the training run of {candidate.name} {candidate.version} has stored no {kind}; {GIVE_FILES}"


def _label_digest(label: str) -> str:
    return label.rpartition("@")[2]


def _short_digest(pairs: Sequence[Pair]) -> str:
    return pairs_digest(pairs).hex()[:LABEL_DIGEST_LENGTH]
