"""Metrics and guards of translations: chrF and BLEU as sacreBLEU defines them, and the shape of the outputs.

An item counts as copied, empty or repeated only if its reference is not, since a correct output is no fault.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy
from sacrebleu.metrics import BLEU, CHRF

from scoring.base import Counts, Metric

# Degenerate repetition: up to four words, four times or more in a row. Three happen in real text ("no, no, no").
REPEATED_WORDS, REPEATED_TIMES = 4, 4


class Translated(Protocol):
    """The part of a translation that guards look at."""

    text: str
    finish_reason: str


class _SacreBleu(Metric):
    """A metric of sacreBLEU, taken apart into counts and score; the one place that calls its private methods."""

    scorer_class: Callable[[], Any]

    def __init__(self) -> None:
        self._scorer = type(self).scorer_class()
        # sacreBLEU notes the number of references when it sees some; its signature names it.
        self._scorer.num_refs = 1

    def counts(self, outputs: Sequence[str], references: Sequence[str]) -> Counts:
        """Extract sacreBLEU's sufficient statistics, one row an item."""
        rows = self._scorer._extract_corpus_statistics(list(outputs), [list(references)])
        return numpy.asarray(rows, dtype=numpy.float64)

    def score(self, sums: Counts) -> float:
        """Compute the corpus score by sacreBLEU's formula."""
        # As Python's floats: sacreBLEU mixes these with its own, and fails on numpy's when nothing matches.
        return float(self._scorer._compute_score_from_stats([float(count) for count in sums]).score)

    def signature(self) -> str:
        """Return sacreBLEU's signature."""
        return str(self._scorer.get_signature())

    def interval_signature(self, resamples: int, seed: int) -> str:
        """Return sacreBLEU's signature with the fields it has for a bootstrap, where it has them."""
        references, _, rest = self.signature().partition("|")
        return f"{references}|bs:{resamples}|seed:{seed}|{rest}"


class ChrF(_SacreBleu):
    """Corpus chrF, cased."""

    name = "chrF"
    scorer_class = CHRF


class Bleu(_SacreBleu):
    """Corpus BLEU of detokenised, cased text."""

    name = "BLEU"
    scorer_class = BLEU


class LowerCasedBleu(_SacreBleu):
    """Corpus BLEU of lower-cased text, which papers on Multi30k report."""

    name = "BLEU-lc"
    scorer_class = partial(BLEU, lowercase=True)


def length_ratio(inputs: Sequence[str], values: Sequence[Translated | None], references: Sequence[str]) -> float:
    """Divide the tokens of the translations by those of the references (sacreBLEU's 13a)."""
    lengths = _lengths(values, references)
    return float(lengths.sys_len / max(1, lengths.ref_len))


def brevity_penalty(inputs: Sequence[str], values: Sequence[Translated | None], references: Sequence[str]) -> float:
    """Return BLEU's penalty for translations that are too short; 1 is none."""
    return float(_lengths(values, references).bp)


def empty_share(inputs: Sequence[str], values: Sequence[Translated | None], references: Sequence[str]) -> float:
    """Return the share of items without a translation where the reference has one."""
    rows = zip(values, references, strict=True)
    return _share([not _text(value).strip() and bool(reference.strip()) for value, reference in rows])


def copied_share(inputs: Sequence[str], values: Sequence[Translated | None], references: Sequence[str]) -> float:
    """Return the share of items whose translation is the source as it was, and whose reference is something else."""
    rows = zip(inputs, values, references, strict=True)
    return _share([_text(value) == source != reference for source, value, reference in rows])


def repeated_share(inputs: Sequence[str], values: Sequence[Translated | None], references: Sequence[str]) -> float:
    """Return the share of items that repeat a phrase or were cut at the token limit, unlike their reference."""
    return _share(
        [
            value is not None
            and (is_repeated(value.text) or value.finish_reason == "length")
            and not is_repeated(reference)
            for value, reference in zip(values, references, strict=True)
        ]
    )


def is_repeated(text: str) -> bool:
    """Tell whether one to four words stand four times or more in a row."""
    words = text.split()
    for length in range(1, REPEATED_WORDS + 1):
        equal = 0
        for index in range(length, len(words)):
            equal = equal + 1 if words[index] == words[index - length] else 0
            if equal >= length * (REPEATED_TIMES - 1):
                return True
    return False


def _lengths(values: Sequence[Translated | None], references: Sequence[str]) -> Any:
    return BLEU(force=True).corpus_score([_text(value) for value in values], [list(references)])


def _text(value: Translated | None) -> str:
    return "" if value is None else value.text


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags)
