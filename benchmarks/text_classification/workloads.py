"""The texts that are sent: articles of R8's test split, short ones, and long texts made of several.

R8 is taken where its classes are those of the bundle. For any other bundle it is the held-out set that lies beside it
in its run; of the demo's, these are generated sentences.
"""

import csv
import gzip
from collections.abc import Sequence
from pathlib import Path

from benchmarks.serving.workloads import Workloads, documents
from dragoman.bundle.store import Bundle
from dragoman.errors import DataError
from scoring.held_out import read_held_out

SHORT_WORDS = 20
# More than two windows of 512 tokens.
LONG_WORDS = 1_000

Texts = list[tuple[str, str]]


def load_workloads(data: Path, bundle: Bundle) -> Workloads:
    """Read R8 below ``data``, or the held-out set of the bundle's run; raises DataError."""
    r8, held_out = data / "r8" / "r8.csv.gz", bundle.path.parent / "held_out" / "test.parquet"
    if r8.exists():
        with gzip.open(r8, "rt", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        if {row["label"] for row in rows} == set(bundle.manifest.options["labels"]):
            test = [(row["text"], row["label"]) for row in rows if row["split"] == "test"]
            return workloads(test, others=[row["text"] for row in rows if row["split"] == "train"])
    if not held_out.exists():
        raise DataError(
            f"{data} has no r8 with the classes of {bundle.path}, and {held_out} does not exist; give the folder that "
            "has r8 with DRAGOMAN_DATA or --data, or a bundle in its run's directory"
        )
    found = [(str(item.input), item.reference) for item in read_held_out(held_out)]
    return workloads(found, others=[text for text, _ in found])


def workloads(test: Texts, others: Sequence[str]) -> Workloads:
    """Make the workloads of a test set, and of other texts for those that are not scored."""
    # Equal ones in flight may be computed once.
    lines = [" ".join(text.split()) for text, _ in test]
    others = list(dict.fromkeys(" ".join(text.split()) for text in others))
    return Workloads(
        items=tuple(lines),
        references=tuple(label for _, label in test),
        short=tuple(text for text in others if len(text.split()) <= SHORT_WORDS),
        long=documents(others, words=LONG_WORDS),
        cost=sum(len(text.split()) for text in lines) / len(lines),
        long_cost=LONG_WORDS,
    )
