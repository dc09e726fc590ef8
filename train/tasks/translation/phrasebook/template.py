"""Patterns: an English and a German template over the same slots, and the sentence pairs that they yield.

A field of a template is one of

    {place}                 the entry as it stands in the template's language
    {place.zum}             one of its forms, a method of the entry
    {shirt.einen(colour)}   a form that needs another slot
    {who:go|goes}           words that agree with the entry: all other persons, then the third person singular
    {who:gehe|geht|gehen}   the same for German: ich; er, sie, es; wir, sie, Sie
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

Language = Literal["english", "german"]
Pair = tuple[str, str]
"""A sentence in English and the same in German."""


class Entry(Protocol):
    """Anything that can fill a slot: it has a plain form in either language, and perhaps methods for others."""

    @property
    def english(self) -> str:
        """The plain English form."""

    @property
    def german(self) -> str:
        """The plain German form."""


_Part = Callable[[Mapping[str, Entry]], str]
_FIELD = re.compile(r"\{(?P<slot>\w+)(?:\.(?P<form>\w+)(?:\((?P<other>\w+)\))?|:(?P<choices>[^}]+))?\}")


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """One kind of sentence; its pairs are all the ways to fill its slots, numbered from 0 to ``count`` - 1.

    ``by_heart`` marks sentences that nothing else predicts, such as "Never mind.": all of them belong in train.
    """

    name: str
    english: str
    german: str
    slots: Mapping[str, Sequence[Entry]]
    by_heart: bool = False

    @cached_property
    def count(self) -> int:
        """The number of pairs that it yields."""
        return math.prod(len(entries) for entries in self.slots.values())

    def pair(self, number: int) -> Pair:
        """The pair of that number: the slots count like the digits of a mixed-radix number."""
        chosen: dict[str, Entry] = {}
        for slot, entries in self.slots.items():
            number, position = divmod(number, len(entries))
            chosen[slot] = entries[position]
        return _sentence(self._english_parts, chosen), _sentence(self._german_parts, chosen)

    @cached_property
    def _english_parts(self) -> tuple[_Part, ...]:
        return _compile(self.english, "english")

    @cached_property
    def _german_parts(self) -> tuple[_Part, ...]:
        return _compile(self.german, "german")


def pattern(name: str, english: str, german: str, /, *, by_heart: bool = False, **slots: Sequence[Entry]) -> Pattern:
    """A pattern, with its slots as keyword arguments."""
    return Pattern(name=name, english=english, german=german, slots=slots, by_heart=by_heart)


def _sentence(parts: Sequence[_Part], chosen: Mapping[str, Entry]) -> str:
    text = "".join([part(chosen) for part in parts])
    return text[0].upper() + text[1:]


def _compile(template: str, language: Language) -> tuple[_Part, ...]:
    parts: list[_Part] = []
    end = 0
    for field in _FIELD.finditer(template):
        parts += [_literal(template[end : field.start()]), _field(language=language, **field.groupdict())]
        end = field.end()
    return (*parts, _literal(template[end:]))


def _literal(text: str) -> _Part:
    return lambda chosen: text


def _field(*, language: Language, slot: str, form: str | None, other: str | None, choices: str | None) -> _Part:
    if choices is not None:
        return _agreement(slot, choices.split("|"))
    if form is None:
        return lambda chosen: str(getattr(chosen[slot], language))
    if other is None:
        return lambda chosen: str(getattr(chosen[slot], form)())
    return lambda chosen: str(getattr(chosen[slot], form)(chosen[other]))


def _agreement(slot: str, words: Sequence[str]) -> _Part:
    ich, er, wir = words if len(words) == 3 else (words[0], words[1], words[0])
    by_form = {"ich": ich, "er": er, "wir": wir}
    return lambda chosen: by_form[getattr(chosen[slot], "form")]  # noqa: B009 - only some entries have one
