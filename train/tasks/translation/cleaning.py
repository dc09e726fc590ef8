"""The cleaning of sentence pairs: what would teach something wrong is left out, and counted by reason.

The rules, in order; a pair is counted under the first that applies:

- ``empty``: a side has no text. The only rule for validation and test sets, which stay otherwise as they are.
- ``too_long``, ``length_ratio``: by characters.
- ``wrong_script``: too few of the letters belong to the script of the language (for languages in ``SCRIPTS``).
- ``duplicate``: the same pair again; another translation of the same source stays.
- ``leaked_into_test``, ``leaked_into_validation``: the source sentence, after white space is normalised, occurs there
  as a source (so the whole pair need not match). Validation pairs are held against the test sets in the same way.

``too_many_tokens`` is added once the vocabulary exists.
"""

import dataclasses
import functools
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated

from dragoman.strict import Setting
from dragoman.tasks.translation.options import Languages
from train.data.corpus import CleanCorpus, SplitReport, Splits
from train.tasks.translation.pairs import Pair

LATIN = frozenset({"LATIN"})
# First word of the Unicode names of a script's letters.
SCRIPTS: dict[str, frozenset[str]] = {
    **dict.fromkeys(("cs", "da", "de", "en", "es", "fi", "fr", "hu", "it", "nl", "pl", "pt", "sv", "tr"), LATIN),
    **dict.fromkeys(("bg", "ru", "uk"), frozenset({"CYRILLIC"})),
    "el": frozenset({"GREEK"}),
    "he": frozenset({"HEBREW"}),
    "ar": frozenset({"ARABIC"}),
    "zh": frozenset({"CJK"}),
    "ja": frozenset({"CJK", "HIRAGANA", "KATAKANA"}),
    "ko": frozenset({"HANGUL"}),
}


Rule = Callable[[Pair], bool]


@dataclass(frozen=True, kw_only=True)
class CleaningSettings:
    """Limits beyond which training pairs are left out."""

    max_characters: Annotated[int, Setting("longest source or target, in characters", minimum=1)]
    max_tokens: Annotated[int, Setting("longest source or target, in tokens with the end mark", minimum=2)]
    max_length_ratio: Annotated[float, Setting("longer side over shorter side, in characters", minimum=1)]
    min_script_share: Annotated[
        float, Setting("least share of letters in the script of the language; 0 allows any", minimum=0, maximum=1)
    ]


def clean(splits: Splits, settings: CleaningSettings, languages: Languages) -> CleanCorpus:
    """Apply every rule; raises DataError when nothing is left to train, validate or test on."""
    reports = {name: SplitReport(read=len(pairs)) for name, pairs in splits.items()}
    empty: dict[str, Rule] = {"empty": lambda pair: not (pair[0] and pair[1])}
    tests = {name: _sieve(pairs, empty, reports[name]) for name, pairs in splits.tests.items()}
    test_sources = {source for pairs in tests.values() for source, _ in pairs}
    # Sources are looked up in the held-out sets as they are after cleaning, so the sets come first.
    held_out: dict[str, Rule] = {**empty, "leaked_into_test": lambda pair: pair[0] in test_sources}
    validation = _sieve(splits.validation, held_out, reports["validation"])
    validation_sources = {source for source, _ in validation}
    rules: dict[str, Rule] = {
        **empty,
        **_training_rules(settings, languages),
        "leaked_into_test": held_out["leaked_into_test"],
        "leaked_into_validation": lambda pair: pair[0] in validation_sources,
    }
    train = _sieve(splits.train, rules, reports["train"])
    return CleanCorpus.of(dataclasses.replace(splits, train=train, validation=validation, tests=tests), reports)


def _training_rules(settings: CleaningSettings, languages: Languages) -> dict[str, Rule]:
    scripts = (SCRIPTS.get(languages.source), SCRIPTS.get(languages.target))
    seen: set[Pair] = set()

    def unbalanced(pair: Pair) -> bool:
        # A few characters either way say nothing: "Hi." and "Guten Tag!" belong together.
        short, long = sorted(map(len, pair))
        return long > settings.max_length_ratio * short and long - short > 20

    def foreign(pair: Pair) -> bool:
        return any(
            script is not None and script_share(text, script) < settings.min_script_share
            for text, script in zip(pair, scripts, strict=True)
        )

    def duplicate(pair: Pair) -> bool:
        before = len(seen)
        seen.add(pair)
        return len(seen) == before

    return {
        "too_long": lambda pair: max(map(len, pair)) > settings.max_characters,
        "length_ratio": unbalanced,
        "wrong_script": foreign,
        "duplicate": duplicate,
    }


def _sieve(pairs: Iterable[Pair], rules: Mapping[str, Rule], report: SplitReport) -> list[Pair]:
    """Normalise white space and keep the pairs that no rule applies to; count the others under the first that does."""
    kept = []
    for source, target in pairs:
        pair = " ".join(source.split()), " ".join(target.split())
        reason = next((name for name, rule in rules.items() if rule(pair)), None)
        if reason is None:
            kept.append(pair)
        else:
            report.dropped[reason] += 1
    return kept


def script_share(text: str, script: frozenset[str]) -> float:
    """Compute the share of the letters of a text that belong to a script; 1 for a text without letters."""
    letters = [letter for letter in text if letter.isalpha()]
    return sum(_script(letter) in script for letter in letters) / len(letters) if letters else 1.0


@functools.lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    return unicodedata.name(letter, "UNKNOWN").split(" ", 1)[0].split("-", 1)[0]
