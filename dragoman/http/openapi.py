"""The HTTP interface of a server as an OpenAPI document, with the limits of the bundle that is served."""

from http import HTTPStatus
from typing import Any

from dragoman.bundle.manifest import Manifest
from dragoman.errors import InferenceError, InvalidInput, UnavailableError
from dragoman.items.bodies import FORM_TYPE, JSON_TYPE, TEXT_TYPE
from dragoman.tasks.base import Interface, Page, task_class

Schema = dict[str, Any]

# Which codes come with which status is read off the exceptions, so the document cannot fall behind them.
CODES = {
    code: status for kind in (InvalidInput, InferenceError, UnavailableError) for code, status in kind.statuses.items()
}
ROUTING_CODES = ("not_found", "method_not_allowed")


def document(manifest: Manifest) -> dict[str, Any]:
    """Make the OpenAPI 3.0 document of a server of this bundle."""
    task = task_class(manifest.task)
    interface = task.interface(manifest)
    pages = task.pages(manifest)
    description = f"{interface.description}; e" if interface.description else "E"
    return {
        "openapi": "3.0.3",
        "info": {
            "title": manifest.name,
            "version": manifest.version,
            "description": f"{description}very error has the same form, whatever its cause.",
        },
        "servers": [{"url": "."}],
        "paths": {
            task.route: {"post": _route(manifest, interface)},
            **{path: {"get": _page(page)} for path, page in pages.items()},
            "/livez": {"get": _get("Whether the process answers", {})},
            "/readyz": {"get": {**_get("Whether requests are answered by now", {}), "responses": _ready()}},
            "/metrics": {"get": _get("Prometheus metrics", {"content": {TEXT_TYPE: {"schema": {"type": "string"}}}})},
        },
        "components": {
            "schemas": {
                "Request": interface.request,
                "Response": _response_schema(manifest, interface),
                "Error": _error_schema(),
            }
        },
    }


def _route(manifest: Manifest, interface: Interface) -> Schema:
    task = task_class(manifest.task)
    limit = task.limits_of(manifest).max_body_bytes
    return {
        "summary": interface.summary,
        "operationId": task.route.rpartition("/")[2],
        "requestBody": {
            "required": True,
            "description": f"At most {limit} bytes.",
            "content": _bodies(task, interface),
        },
        "responses": {
            "200": {
                "description": f"The answer: lists where `{task.input_field}` was a list",
                "content": {
                    JSON_TYPE: {
                        "schema": {"$ref": _ref("Response")},
                        "examples": {
                            name: {"value": {**example, "model": _model_example(manifest)}}
                            for name, example in interface.response_examples.items()
                        },
                    }
                },
            },
            **_error_responses(),
        },
    }


def _bodies(task: Any, interface: Interface) -> Schema:
    request = {"$ref": _ref("Request")}
    bodies: Schema = {JSON_TYPE: {"schema": request, "examples": interface.request_examples}}
    if task.takes_text:
        bodies[TEXT_TYPE] = {"schema": interface.text or {"type": "string"}, "example": task.example_item}
    bodies[FORM_TYPE] = {"schema": request, "example": {task.input_field: task.example_item}}
    return bodies


def _response_schema(manifest: Manifest, interface: Interface) -> Schema:
    text: Schema = {"type": "string"}
    nullable: Schema = {"type": "string", "nullable": True}
    model: Schema = {"name": text, "version": text, "run_id": nullable, "digest": text}
    return {
        **interface.response,
        "required": [*interface.response["required"], "model"],
        "properties": {
            **interface.response["properties"],
            "model": {
                "type": "object",
                "required": sorted(model),
                "properties": model,
                "example": _model_example(manifest),
            },
        },
    }


def _page(page: Page) -> Schema:
    return _get(page.summary, {"content": {JSON_TYPE: {"schema": page.schema}}})


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


def _model_example(manifest: Manifest) -> Schema:
    return {
        "name": manifest.name,
        "version": manifest.version,
        "run_id": manifest.provenance.mlflow_run_id,
        "digest": f"sha256:{manifest.digest}",
    }


def _ref(name: str) -> str:
    return f"#/components/schemas/{name}"
