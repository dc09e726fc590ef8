"""The HTTP interface of translation as an OpenAPI document, with the limits of the bundle that is served."""

from http import HTTPStatus
from typing import Any

from dragoman.errors import InferenceError, InvalidInput, UnavailableError
from dragoman.manifest import Manifest
from dragoman.protocol import FORM_TYPE, JSON_TYPE, TEXT_TYPE
from dragoman.tasks.translation_request import MAX_LENGTH_PENALTY

Schema = dict[str, Any]

# Which codes come with which status is read off the exceptions, so the document cannot fall behind them.
CODES = {
    code: status for kind in (InvalidInput, InferenceError, UnavailableError) for code, status in kind.statuses.items()
}
ROUTING_CODES = ("not_found", "method_not_allowed")


def document(manifest: Manifest) -> dict[str, Any]:
    """The OpenAPI 3.0 document of a server of this bundle."""
    languages = manifest.languages
    return {
        "openapi": "3.0.3",
        "info": {
            "title": manifest.name,
            "version": manifest.version,
            "description": f"Translation from `{languages.source}` to `{languages.target}`. The bodies are those of "
            "LibreTranslate, so its clients work unchanged; every error has the same form, whatever its cause.",
        },
        "servers": [{"url": "."}],
        "paths": {
            "/translate": {"post": _translate(manifest)},
            "/languages": {"get": _get("The language pairs of this model", _json({"$ref": _ref("Languages")}))},
            "/livez": {"get": _get("Whether the process answers", {})},
            "/readyz": {"get": {**_get("Whether a warm-up translation has succeeded", {}), "responses": _ready()}},
            "/metrics": {"get": _get("Prometheus metrics", {"content": {TEXT_TYPE: {"schema": {"type": "string"}}}})},
        },
        "components": {
            "schemas": {
                "TranslateRequest": _request_schema(manifest),
                "TranslateResponse": _response_schema(manifest),
                "Languages": _languages_schema(manifest),
                "Error": _error_schema(),
            }
        },
    }


def _translate(manifest: Manifest) -> Schema:
    request, response = {"$ref": _ref("TranslateRequest")}, {"$ref": _ref("TranslateResponse")}
    model = _model_example(manifest)
    return {
        "summary": "Translate a text, or a list of texts",
        "operationId": "translate",
        "requestBody": {
            "required": True,
            "description": f"At most {manifest.limits.max_body_bytes} bytes.",
            "content": {
                JSON_TYPE: {
                    "schema": request,
                    "examples": {
                        "text": {"value": {"q": "Where is the station?", "source": "en", "target": "de"}},
                        "list": {"value": {"q": ["Good morning.", "Two tickets, please."]}},
                        "alternatives": {"value": {"q": "Good morning.", "alternatives": 2, "return_scores": True}},
                    },
                },
                TEXT_TYPE: {"schema": _text_schema(manifest), "example": "Where is the station?"},
                FORM_TYPE: {"schema": request, "example": {"q": "Where is the station?"}},
            },
        },
        "responses": {
            "200": {
                "description": "The translation: lists where `q` was a list",
                "content": {
                    JSON_TYPE: {
                        "schema": response,
                        "examples": {
                            "text": {"value": {"translatedText": "…", "finish_reason": "stop", "model": model}},
                            "list": {
                                "value": {
                                    "translatedText": ["…", "…"],
                                    "finish_reason": ["stop", "stop"],
                                    "model": model,
                                }
                            },
                        },
                    }
                },
            },
            **_error_responses(),
        },
    }


def _request_schema(manifest: Manifest) -> Schema:
    limits, default, languages = manifest.limits, manifest.decoding, manifest.languages
    text = _text_schema(manifest)
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


def _response_schema(manifest: Manifest) -> Schema:
    text: Schema = {"type": "string"}
    texts: Schema = {"type": "array", "items": text}
    scores: Schema = {"type": "array", "items": {"type": "number"}}
    reason: Schema = {"type": "string", "enum": ["stop", "length"]}
    nullable: Schema = {"type": "string", "nullable": True}
    model: Schema = {"name": text, "version": text, "run_id": nullable, "digest": text}
    return {
        "type": "object",
        "required": ["translatedText", "finish_reason", "model"],
        "properties": {
            "translatedText": {"oneOf": [text, texts]},
            "alternatives": {"oneOf": [texts, {"type": "array", "items": texts}]},
            "scores": {"oneOf": [scores, {"type": "array", "items": scores}]},
            "finish_reason": {"oneOf": [reason, {"type": "array", "items": reason}]},
            "model": {
                "type": "object",
                "required": sorted(model),
                "properties": model,
                "example": _model_example(manifest),
            },
        },
    }


def _languages_schema(manifest: Manifest) -> Schema:
    languages = manifest.languages
    return {
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
    }


def _error_schema() -> Schema:
    return {
        "type": "object",
        "required": ["error", "code"],
        "properties": {
            "error": {"type": "string", "description": "One sentence: what is wrong, the value seen, what is accepted"},
            "code": {"type": "string", "enum": list(CODES)},
            "field": {"type": "string", "description": "The field of the request at fault", "example": "q[3]"},
        },
    }


def _error_responses() -> Schema:
    statuses: dict[int, list[str]] = {}
    for code, status in CODES.items():
        if code not in ROUTING_CODES:
            statuses.setdefault(status, []).append(code)
    return {str(status): _error(status, codes) for status, codes in sorted(statuses.items())}


def _error(status: int, codes: list[str]) -> Schema:
    example = {"error": "a sentence that says what is wrong", "code": codes[0]}
    named = ", ".join(f"`{code}`" for code in codes)
    return {"description": f"{HTTPStatus(status).phrase}: {named}", **_json({"$ref": _ref("Error")}, example=example)}


def _ready() -> Schema:
    return {"200": {"description": "Ready"}, "503": _error(503, ["not_ready"])}


def _get(summary: str, content: Schema) -> Schema:
    return {"summary": summary, "responses": {"200": {"description": "OK", **content}}}


def _json(schema: Schema, **more: Any) -> Schema:
    return {"content": {JSON_TYPE: {"schema": schema, **more}}}


def _text_schema(manifest: Manifest) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": manifest.limits.max_characters}


def _integer(minimum: int, maximum: int, default: int) -> Schema:
    return {"type": "integer", "minimum": minimum, "maximum": maximum, "default": default}


def _model_example(manifest: Manifest) -> Schema:
    return {
        "name": manifest.name,
        "version": manifest.version,
        "run_id": manifest.provenance.mlflow_run_id,
        "digest": f"sha256:{manifest.digest}",
    }


def _ref(name: str) -> str:
    return f"#/components/schemas/{name}"
