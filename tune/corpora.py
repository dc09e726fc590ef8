"""The corpora of a worker, read once for all trials that want the same, and cut into folds."""

import copy

from dragoman.errors import DataError
from train.config.settings import Config
from train.data.corpus import CleanCorpus, folds
from train.fitting.prepare import read_corpus

# The same folds for every trial and worker, so that they can be compared.
FOLD_SEED = 0
# A space with settings of the corpus goes back and forth; more than two big corpora fill the memory.
KEPT = 2


class Corpora:
    """A small cache of corpora by their settings."""

    def __init__(self, fold_count: int) -> None:
        """One fold stands for the corpus's own validation set."""
        self._fold_count = fold_count
        self._kept: dict[str, list[CleanCorpus]] = {}

    def folds(self, config: Config) -> list[CleanCorpus]:
        """Return the corpora of a trial, one for each fold; raises DataError."""
        key = repr(config.corpus_settings())
        if key not in self._kept:
            while len(self._kept) >= KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = self._read(config)
        return self._kept[key]

    def _read(self, config: Config) -> list[CleanCorpus]:
        corpus = read_corpus(config)
        if self._fold_count == 1:
            return [corpus]
        if self._fold_count > len(corpus.splits.train):
            raise DataError(f"{corpus.splits.name} is too small for {self._fold_count} folds; lower folds")
        return [
            CleanCorpus.of(part, copy.deepcopy(dict(corpus.reports)))
            for part in folds(corpus.splits, count=self._fold_count, seed=FOLD_SEED)
        ]
