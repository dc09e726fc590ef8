"""The descriptions of translation: LibreTranslate's bodies as schemas, the list of languages, and the model card."""

from dragoman.bundle.manifest import Manifest
from dragoman.bundle.model_card import Card
from dragoman.engines.seq2seq import MAX_LENGTH_PENALTY
from dragoman.tasks.base import Interface, Page, Schema
from dragoman.tasks.translation.options import Languages, Limits, Options

# The names that T5 itself gives its languages; any other language goes by its code.
LANGUAGE_NAMES = {"en": "English", "de": "German", "fr": "French", "ro": "Romanian"}


def route(manifest: Manifest, options: Options, limits: Limits) -> Interface:
    """Describe ``POST /translate``."""
    languages = options.languages
    answer = {"translatedText": "…", "finish_reason": "stop"}
    answers = {"translatedText": ["…", "…"], "finish_reason": ["stop", "stop"]}
    return Interface(
        summary="Translate a text, or a list of texts",
        description=f"Translation from `{languages.source}` to `{languages.target}`. The bodies are those of "
        "LibreTranslate, so its clients work unchanged",
        request=_request_schema(options, limits),
        response=_response_schema(),
        request_examples={
            "text": {"value": {"q": "Where is the station?", "source": "en", "target": "de"}},
            "list": {"value": {"q": ["Good morning.", "Two tickets, please."]}},
            "alternatives": {"value": {"q": "Good morning.", "alternatives": 2, "return_scores": True}},
        },
        response_examples={"text": answer, "list": answers},
        text=_text_schema(limits),
    )


def languages_page(languages: Languages) -> Page:
    """List the languages with their targets."""
    # The target is listed without targets of its own, because clients look its name up here.
    pairs = {languages.source: [languages.target], languages.target: []}
    return Page(
        summary="The language pairs of this model",
        body=[{"code": code, "name": LANGUAGE_NAMES.get(code, code), "targets": pairs[code]} for code in pairs],
        schema={
            "type": "array",
            "items": {
                "type": "object",
                "required": ["code", "name", "targets"],
                "properties": {
                    "code": {"type": "string", "example": languages.source},
                    "name": {"type": "string"},
                    "targets": {"type": "array", "items": {"type": "string"}, "example": [languages.target]},
                },
            },
        },
    )


def card(options: Options, limits: Limits) -> Card:
    """Describe the model for its card."""
    languages, decoding = options.languages, options.decoding
    return Card(
        metadata=(f"language: [{languages.source}, {languages.target}]",),
        what=f"A T5 for translation from {languages.source} to {languages.target}",
        limits=(
            f"The texts of a request may have {limits.max_characters} characters together. They are translated "
            f"sentence by sentence, and a sentence of more than {limits.max_source_tokens} tokens in parts.",
            f"The translation of a sentence ends after {decoding.max_new_tokens} tokens unless the request says "
            f"otherwise (at most {limits.max_new_tokens}); `finish_reason` is then `length`.",
        ),
    )


def _request_schema(options: Options, limits: Limits) -> Schema:
    default, languages = options.decoding, options.languages
    text = _text_schema(limits)
    return {
        "type": "object",
        "required": ["q"],
        "additionalProperties": False,
        "properties": {
            "q": {
                "description": "The text, of any number of sentences and lines, or a list of texts; each is translated "
                "sentence by sentence and keeps its line breaks, tabs and the white space between sentences",
                "oneOf": [text, {"type": "array", "minItems": 1, "maxItems": limits.max_items, "items": text}],
            },
            "source": {"type": "string", "enum": [languages.source], "default": languages.source},
            "target": {"type": "string", "enum": [languages.target], "default": languages.target},
            "format": {"type": "string", "enum": ["text"], "default": "text"},
            "alternatives": {
                **_integer(0, limits.max_beams - 1, 0),
                "description": "How many further translations of each text to give: of the second-best translations of "
                "its sentences, the third-best, and so on",
            },
            "api_key": {"type": "string", "description": "Accepted for LibreTranslate's clients, and not used"},
            "num_beams": {
                **_integer(1, limits.max_beams, default.num_beams),
                "description": "Beam width; when left out, at least `alternatives` + 1",
            },
            "max_new_tokens": {
                **_integer(1, limits.max_new_tokens, default.max_new_tokens),
                "description": "Where to cut the translation of a sentence; `finish_reason` then says `length`",
            },
            "length_penalty": {
                "type": "number",
                "minimum": 0,
                "maximum": MAX_LENGTH_PENALTY,
                "default": default.length_penalty,
            },
            "return_scores": {
                "type": "boolean",
                "default": False,
                "description": "Whether to give the length-normalised log-probability of each text and alternative",
            },
        },
    }


def _response_schema() -> Schema:
    text: Schema = {"type": "string"}
    texts: Schema = {"type": "array", "items": text}
    scores: Schema = {"type": "array", "items": {"type": "number"}}
    reason: Schema = {"type": "string", "enum": ["stop", "length"]}
    return {
        "type": "object",
        "required": ["translatedText", "finish_reason"],
        "properties": {
            "translatedText": {"oneOf": [text, texts]},
            "alternatives": {"oneOf": [texts, {"type": "array", "items": texts}]},
            "scores": {"oneOf": [scores, {"type": "array", "items": scores}]},
            "finish_reason": {"oneOf": [reason, {"type": "array", "items": reason}]},
        },
    }


def _text_schema(limits: Limits) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": limits.max_characters}


def _integer(minimum: int, maximum: int, default: int) -> Schema:
    return {"type": "integer", "minimum": minimum, "maximum": maximum, "default": default}
