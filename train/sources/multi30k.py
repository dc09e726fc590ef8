"""Multi30k (task 1, raw): image captions in ``<split>.en.gz`` and ``<split>.de.gz``, one sentence a line."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from dragoman.manifest import Languages
from dragoman.segments import Pair
from train.corpus import Splits, oriented
from train.sources.lines import read_aligned
from train.strict import Setting


@dataclass(frozen=True, kw_only=True)
class Multi30k:
    """Where the files are."""

    kind: Literal["multi30k"]
    name: Annotated[str, Setting("what the corpus is called in scores")]
    path: Annotated[str, Setting("directory with train, val and test files, .en and .de, plain or .gz")]
    tests: Annotated[tuple[str, ...], Setting("test sets to score, the main one first")]

    def read(self, languages: Languages) -> Splits:
        """Read the official splits as they are."""
        return Splits(
            name=self.name,
            train=self._pairs("train", languages),
            validation=self._pairs("val", languages),
            tests={test: self._pairs(test, languages) for test in self.tests},
            lower_cased=True,
        )

    def _pairs(self, split: str, languages: Languages) -> Sequence[Pair]:
        pairs = read_aligned(Path(self.path) / f"{split}.en", Path(self.path) / f"{split}.de")
        return oriented(pairs, languages, Languages(source="en", target="de"), self.name)
