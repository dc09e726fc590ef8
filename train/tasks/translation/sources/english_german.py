"""The corpora between English and German that are known by name, in either direction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from dragoman.errors import DataError
from dragoman.strict import Setting
from dragoman.tasks.translation.options import Languages
from train.data.corpus import Splits, hold_out
from train.data.folder import find_data
from train.data.table import lines_of
from train.tasks.translation.pairs import Pair, oriented, read_aligned

HELD = Languages(source="en", target="de")


@dataclass(frozen=True, kw_only=True)
class Phrasebook:
    """The embedded corpus: grammatically correct pairs, generated."""

    kind: Literal["phrasebook"]
    name: Annotated[str, Setting("what the corpus is called in scores")]
    size: Annotated[int, Setting("distinct pairs to generate, all splits together", minimum=100)]
    seed: Annotated[int, Setting("seed of the generator", minimum=0)]

    def read(self, languages: Languages) -> Splits:
        """Generate the pairs; the splits share no sentence."""
        from train.tasks.translation.phrasebook.corpus import generate

        book = generate(size=self.size, seed=self.seed)
        return Splits(
            name=self.name,
            train=oriented(book.train, languages, HELD, self.name),
            validation=oriented(book.validation, languages, HELD, self.name),
            tests={"test": oriented(book.test, languages, HELD, self.name)},
        )


@dataclass(frozen=True, kw_only=True)
class Multi30k:
    """Multi30k (task 1, raw): image captions in ``<split>.en.gz`` and ``<split>.de.gz``, one sentence a line."""

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
            train=_aligned(self.path, "train", languages, self.name),
            validation=_aligned(self.path, "val", languages, self.name),
            tests={test: _aligned(self.path, test, languages, self.name) for test in self.tests},
            further_metrics=("BLEU-lc",),
        )


@dataclass(frozen=True, kw_only=True)
class Newstest:
    """WMT news test sets, aligned line by line: the older years train, one year is held out."""

    kind: Literal["newstest"]
    name: Annotated[str, Setting("what the corpus is called in scores")]
    path: Annotated[
        str,
        Setting("directory, in DRAGOMAN_DATA, in data/ or from here, with <set>.en and <set>.de files, plain or .gz"),
    ]
    train_sets: Annotated[tuple[str, ...], Setting("sets that train")]
    held_out: Annotated[str, Setting("set whose first half validates and whose second half tests")]

    def read(self, languages: Languages) -> Splits:
        """Read the sets; halves of the held-out year share no news article (but for the one at the cut)."""
        train = [pair for name in self.train_sets for pair in _aligned(self.path, name, languages, self.name)]
        rest = _aligned(self.path, self.held_out, languages, self.name)
        middle = len(rest) // 2
        tests = {f"{self.held_out}-second-half": rest[middle:]}
        return Splits(name=self.name, train=train, validation=rest[:middle], tests=tests)


@dataclass(frozen=True, kw_only=True)
class Tatoeba:
    """Tatoeba: ``English<TAB>German`` lines, sorted by length, several German lines for one English."""

    kind: Literal["tatoeba"]
    name: Annotated[str, Setting("what the corpus is called in scores")]
    path: Annotated[
        str, Setting("directory, in DRAGOMAN_DATA, in data/ or from here, that holds deu.txt or deu.txt.gz")
    ]
    validation_size: Annotated[int, Setting("sentences held out for validation, at most a tenth", minimum=1)]
    test_size: Annotated[int, Setting("sentences held out for the test, at most a tenth", minimum=1)]
    seed: Annotated[int, Setting("seed of the shuffle", minimum=0)]

    def read(self, languages: Languages) -> Splits:
        """Shuffle and split by the source side, so that no sentence of a test was seen with another translation."""
        file = find_data(self.path, setting="data.path") / "deu.txt"
        pairs: list[Pair] = []
        for number, line in enumerate(lines_of(file), start=1):
            english, tab, rest = line.partition("\t")
            if not tab:
                raise DataError(f"{file} line {number} holds no tab; give English<TAB>German lines")
            # Downloads from tatoeba.org's mirrors carry an attribution in a third column.
            pairs.append((english, rest.partition("\t")[0]))
        return hold_out(
            self.name,
            oriented(pairs, languages, HELD, self.name),
            validation_size=self.validation_size,
            test_size=self.test_size,
            seed=self.seed,
        )


def _aligned(path: str, split: str, languages: Languages, name: str) -> Sequence[Pair]:
    folder = find_data(path, setting="data.path")
    return oriented(read_aligned(folder / f"{split}.en", folder / f"{split}.de"), languages, HELD, name)
