"""The OpenAPI document says what the contract does, no more and no less."""

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dragoman import errors
from dragoman.bundle.manifest import Manifest, Provenance
from dragoman.bundle.store import open_bundle
from dragoman.engines.seq2seq import Decoding
from dragoman.errors import InvalidInput
from dragoman.http import openapi
from dragoman.tasks.base import Task
from dragoman.tasks.translation.options import Languages, Limits, Options, Preprocessing
from dragoman.tasks.translation.request import FIELDS, parse_request
from dragoman.tasks.translation.task import TranslationTask

OPTIONS = Options(
    languages=Languages(source="en", target="fr"), preprocessing=Preprocessing(), decoding=Decoding(num_beams=2)
)
LIMITS = Limits(max_items=3)
MANIFEST = Manifest(
    name="some-name",
    task="translation",
    options=asdict(OPTIONS),
    limits=asdict(LIMITS),
    provenance=Provenance(config_digest="0" * 64, corpus_fingerprint="toy"),
    scores=(),
    engines=("ct2-int8",),
    files=(),
).sealed()


@pytest.fixture
def document() -> dict[str, Any]:
    return openapi.document(MANIFEST)


@pytest.fixture
def request_schema(document: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = document["components"]["schemas"]["Request"]
    return schema


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def test_the_documented_fields_are_those_that_are_accepted(request_schema: dict[str, Any]) -> None:
    assert tuple(request_schema["properties"]) == FIELDS
    assert request_schema["required"] == ["q"]


def test_the_documented_defaults_and_bounds_are_accepted(request_schema: dict[str, Any]) -> None:
    for bound in ("default", "minimum", "maximum"):
        values = {name: field[bound] for name, field in request_schema["properties"].items() if bound in field}
        assert parse_request({"q": "text", **values, "alternatives": 0}, OPTIONS, LIMITS).items == ()


@pytest.mark.parametrize("bound", ["minimum", "maximum"])
def test_what_is_out_of_the_documented_bounds_is_refused(bound: str, request_schema: dict[str, Any]) -> None:
    step = {"minimum": -1, "maximum": 1}[bound]
    bounded = {name: field[bound] for name, field in request_schema["properties"].items() if bound in field}
    assert set(bounded) == {"alternatives", "num_beams", "max_new_tokens", "length_penalty"}
    for name, value in bounded.items():
        with pytest.raises(InvalidInput, match=name):
            parse_request({"q": "text", name: value + step}, OPTIONS, LIMITS)


def test_every_error_code_a_request_can_get_is_documented(document: dict[str, Any]) -> None:
    responses = document["paths"]["/translate"]["post"]["responses"]
    kinds = (errors.InvalidInput, errors.InferenceError, errors.UnavailableError)
    for code, status in {code: status for kind in kinds for code, status in kind.statuses.items()}.items():
        assert code in document["components"]["schemas"]["Error"]["properties"]["code"]["enum"]
        if code not in openapi.ROUTING_CODES:
            assert f"`{code}`" in responses[str(status)]["description"]


@pytest.mark.parametrize("takes_text", [True, False])
def test_plain_text_is_documented_where_the_task_takes_it(takes_text: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TranslationTask, "takes_text", takes_text)
    for interface in (TranslationTask.interface, partial(Task.interface.__func__, TranslationTask)):  # type: ignore[attr-defined]
        monkeypatch.setattr(TranslationTask, "interface", interface)
        content = openapi.document(MANIFEST)["paths"]["/translate"]["post"]["requestBody"]["content"]
        assert ("text/plain" in content) == takes_text


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(_references(document)) == known


def test_a_task_that_takes_files_shows_their_media_types_in_the_place_of_a_form(tiny_images: Path) -> None:
    described = openapi.document(open_bundle(tiny_images).manifest)
    bodies = described["paths"]["/classify"]["post"]["requestBody"]["content"]
    assert list(bodies) == ["application/json", "image/*", "application/octet-stream", "multipart/form-data"]
    assert bodies["image/*"]["schema"] == {"type": "string", "format": "binary"}
