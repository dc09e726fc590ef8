"""Multi30k (task 1, raw): image captions in ``<split>.en.gz`` and ``<split>.de.gz``, one sentence a line."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from dragoman.strict import Setting
from dragoman.tasks.translation.options import Languages
from train.data.corpus import Splits
from train.data.folder import find_data
from train.tasks.translation.pairs import Pair, oriented
from train.tasks.translation.sources.lines import read_aligned


@dataclass(frozen=True, kw_only=True)
class Multi30k:
    """Where the files are."""

    kind: Literal["multi30k"]
    name: Annotated[str, Setting("what the corpus is called in scores")]
    path: Annotated[
        str,
        Setting("directory, in DRAGOMAN_DATA, in data/ or from here, with train, val and test files, .en and .de"),
    ]
    tests: Annotated[tuple[str, ...], Setting("test sets to score, the main one first")]

    def read(self, languages: Languages) -> Splits:
        """Read the official splits as they are."""
        return Splits(
            name=self.name,
            train=self._pairs("train", languages),
            validation=self._pairs("val", languages),
            tests={test: self._pairs(test, languages) for test in self.tests},
            further_metrics=("BLEU-lc",),
        )

    def _pairs(self, split: str, languages: Languages) -> Sequence[Pair]:
        folder = find_data(self.path, setting="data.path")
        pairs = read_aligned(folder / f"{split}.en", folder / f"{split}.de")
        return oriented(pairs, languages, Languages(source="en", target="de"), self.name)
