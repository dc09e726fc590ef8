"""Tatoeba: ``deu.txt.gz`` with ``English<TAB>German`` lines, sorted by length, several German lines for one English."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from dragoman.errors import DataError
from dragoman.strict import Setting
from dragoman.tasks.translation.options import Languages
from train.data.corpus import Splits, hold_out
from train.data.folder import find_data
from train.tasks.translation.pairs import Pair, oriented
from train.tasks.translation.sources.lines import read_lines


@dataclass(frozen=True, kw_only=True)
class Tatoeba:
    """Where the file is and how much of it is held out."""

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
        pairs = [_pair(line, file, number) for number, line in enumerate(read_lines(file), start=1)]
        return hold_out(
            self.name,
            oriented(pairs, languages, Languages(source="en", target="de"), self.name),
            validation_size=self.validation_size,
            test_size=self.test_size,
            seed=self.seed,
        )


def _pair(line: str, file: Path, number: int) -> Pair:
    english, tab, rest = line.partition("\t")
    if not tab:
        raise DataError(f"{file} line {number} holds no tab; give English<TAB>German lines")
    # Downloads from tatoeba.org's mirrors carry an attribution in a third column.
    return english, rest.partition("\t")[0]
