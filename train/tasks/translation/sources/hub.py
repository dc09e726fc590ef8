"""Sets of the Hugging Face hub (WMT19 and its like), streamed or whole, through ``datasets``."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from dragoman.errors import DataError, UnavailableError
from dragoman.strict import Setting
from dragoman.tasks.translation.options import Languages
from train.data.corpus import Splits
from train.data.hub import require_hub
from train.tasks.translation.pairs import Pair

# Rows held in memory while a stream is shuffled: some megabytes, and far more than neighbours of one document.
SHUFFLE_BUFFER = 10_000


@dataclass(frozen=True, kw_only=True)
class Hub:
    """A set of the hub, and the part of it that is read."""

    kind: Literal["hub"]
    name: Annotated[str, Setting("what the corpus is called in scores")]
    path: Annotated[str, Setting("set on the hub, or a directory with a copy of it")]
    subset: Annotated[str | None, Setting("configuration of the set, such as de-en; null where it has one only")]
    streaming: Annotated[bool, Setting("read what is needed over the network, instead of downloading the whole first")]
    max_rows: Annotated[int | None, Setting("training pairs to take; null takes all of them", minimum=1)]
    seed: Annotated[int, Setting("seed of the shuffle", minimum=0)]

    def read(self, languages: Languages) -> Splits:
        """Read the training split, and the two halves of the validation split as validation and test."""
        if not Path(self.path).is_dir():
            require_hub(
                self.path, instead="data.path=DIRECTORY with a copy of the set, or data=parallel with files of yours"
            )
        train, held = self._rows("train", languages), list(self._rows("validation", languages))
        middle = len(held) // 2
        pairs = list(itertools.islice(train, self.max_rows))
        if not pairs or not held:
            raise DataError(f"{self.path} has no pairs in its train or validation split")
        return Splits(name=self.name, train=pairs, validation=held[:middle], tests={"test": held[middle:]})

    def _rows(self, split: str, languages: Languages) -> Iterable[Pair]:
        import datasets

        try:
            rows = datasets.load_dataset(self.path, self.subset, split=split, streaming=self.streaming)
            if split == "train":
                # The set is a row of corpora, one after the other: its beginning alone would be one domain.
                rows = rows.shuffle(seed=self.seed, **({"buffer_size": SHUFFLE_BUFFER} if self.streaming else {}))
            yield from (_pair(row, languages, self.path) for row in rows)
        except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UnavailableError(
                f"cannot read {self.path} ({reason}); give a copy with data.path=DIRECTORY, or use data=parallel"
            ) from error


def _pair(row: Mapping[str, Any], languages: Languages, path: str) -> Pair:
    translation = row.get("translation")
    if not isinstance(translation, Mapping) or not {languages.source, languages.target} <= set(translation):
        found: Sequence[str] = sorted(translation) if isinstance(translation, Mapping) else sorted(row)
        raise DataError(
            f"{path} must have a 'translation' column with {languages.source} and {languages.target}, "
            f"it has {', '.join(found)}"
        )
    return translation[languages.source] or "", translation[languages.target] or ""
