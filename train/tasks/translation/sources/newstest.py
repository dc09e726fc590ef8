"""WMT news test sets, aligned line by line: the older years train, one year is held out."""

from dataclasses import dataclass
from typing import Annotated, Literal

from dragoman.strict import Setting
from dragoman.tasks.translation.options import Languages
from train.data.corpus import Splits
from train.data.folder import find_data
from train.tasks.translation.pairs import oriented
from train.tasks.translation.sources.lines import read_aligned


@dataclass(frozen=True, kw_only=True)
class Newstest:
    """Which years train and which one is held out."""

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
        held = Languages(source="en", target="de")
        folder = find_data(self.path, setting="data.path")
        train = [
            pair for name in self.train_sets for pair in read_aligned(folder / f"{name}.en", folder / f"{name}.de")
        ]
        rest = oriented(
            read_aligned(folder / f"{self.held_out}.en", folder / f"{self.held_out}.de"), languages, held, self.name
        )
        middle = len(rest) // 2
        return Splits(
            name=self.name,
            train=oriented(train, languages, held, self.name),
            validation=rest[:middle],
            tests={f"{self.held_out}-second-half": rest[middle:]},
        )
