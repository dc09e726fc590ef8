"""The request body of translation: LibreTranslate's fields, and our own optional ones beside them."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dragoman.engines.seq2seq import MAX_LENGTH_PENALTY, Decoding
from dragoman.errors import InvalidInput
from dragoman.items.bodies import json_type, shown
from dragoman.tasks.base import Request
from dragoman.tasks.translation.options import Limits, Options

# LibreTranslate's fields and our own ones; ``interface`` describes each in the schema of the request.
LIBRETRANSLATE_FIELDS = ("q", "source", "target", "format", "alternatives", "api_key")
FIELDS = (*LIBRETRANSLATE_FIELDS, "num_beams", "max_new_tokens", "length_penalty", "return_scores")


@dataclass(frozen=True, kw_only=True)
class TranslationItem:
    """One text and its decoding options."""

    text: str
    decoding: Decoding
    alternatives: int = 0
    return_scores: bool = False


@dataclass(frozen=True, kw_only=True)
class TranslationRequest(Request):
    """A request of valid structure; the task fills in ``inputs`` when each text is tokenized."""

    texts: tuple[TranslationItem, ...]
    alternatives: int
    return_scores: bool

    def with_inputs(self, inputs: Sequence[Any]) -> "TranslationRequest":
        """Return the same request with its prepared texts."""
        return dataclasses.replace(self, inputs=tuple(inputs))


def parse_request(payload: Any, options: Options, limits: Limits) -> TranslationRequest:
    """Check a decoded body; raises InvalidInput with the field, its value and the accepted values."""
    if not isinstance(payload, Mapping):
        raise InvalidInput(f'the body must be a JSON object such as {{"q": "text"}}, got {json_type(payload)}')
    unknown = sorted(set(payload) - set(FIELDS))
    if unknown:
        raise InvalidInput(f"unknown field {shown(unknown[0])}; accepted are {', '.join(FIELDS)}", field=unknown[0])
    texts = _texts(payload, limits)
    _check_choice(payload, "source", options.languages.source)
    _check_choice(payload, "target", options.languages.target)
    _check_choice(payload, "format", "text")
    alternatives = _integer(payload, "alternatives", 0, 0, limits.max_beams - 1)
    return_scores = payload.get("return_scores", False)
    if not isinstance(return_scores, bool):
        raise InvalidInput(f"return_scores must be true or false, got {shown(return_scores)}", field="return_scores")
    decoding = _decoding(payload, options.decoding, limits, alternatives)
    is_list = isinstance(payload["q"], list)
    return TranslationRequest(
        inputs=(),
        fields=tuple(f"q[{index}]" for index in range(len(texts))) if is_list else ("q",),
        texts=tuple(
            TranslationItem(text=text, decoding=decoding, alternatives=alternatives, return_scores=return_scores)
            for text in texts
        ),
        is_list=is_list,
        alternatives=alternatives,
        return_scores=return_scores,
    )


def _texts(payload: Mapping[str, Any], limits: Limits) -> list[str]:
    if "q" not in payload:
        raise InvalidInput('q is missing; send {"q": "text"} or {"q": ["text", "text"]}', field="q")
    q = payload["q"]
    if isinstance(q, str):
        return [q]
    if not isinstance(q, list):
        raise InvalidInput(f"q must be a text or a list of texts, got {json_type(q)}", field="q")
    if not 1 <= len(q) <= limits.max_items:
        raise InvalidInput(f"q must hold 1 to {limits.max_items} texts, got {len(q)}; send several requests", field="q")
    for index, text in enumerate(q):
        if not isinstance(text, str):
            raise InvalidInput(f"q[{index}] must be text, got {json_type(text)}", field=f"q[{index}]")
    return q


def _check_choice(payload: Mapping[str, Any], field: str, accepted: str) -> None:
    value = payload.get(field, accepted)
    if value != accepted:
        raise InvalidInput(f'{field} must be "{accepted}" for this model, got {shown(value)}', field=field)


def _decoding(payload: Mapping[str, Any], default: Decoding, limits: Limits, alternatives: int) -> Decoding:
    num_beams = _integer(payload, "num_beams", max(default.num_beams, alternatives + 1), 1, limits.max_beams)
    if num_beams <= alternatives:
        raise InvalidInput(
            f"num_beams must be more than alternatives ({alternatives}), got {num_beams}; leave it out or raise it",
            field="num_beams",
        )
    max_new_tokens = _integer(payload, "max_new_tokens", default.max_new_tokens, 1, limits.max_new_tokens)
    penalty = payload.get("length_penalty", default.length_penalty)
    if isinstance(penalty, bool) or not isinstance(penalty, int | float) or not 0 <= penalty <= MAX_LENGTH_PENALTY:
        raise InvalidInput(
            f"length_penalty must be a number from 0 to {MAX_LENGTH_PENALTY:g}, got {shown(penalty)}",
            field="length_penalty",
        )
    return Decoding(num_beams=num_beams, max_new_tokens=max_new_tokens, length_penalty=float(penalty))


def _integer(payload: Mapping[str, Any], field: str, default: int, low: int, high: int) -> int:
    value = payload.get(field, default)
    if type(value) is not int or not low <= value <= high:
        raise InvalidInput(f"{field} must be a whole number from {low} to {high}, got {shown(value)}", field=field)
    return value
