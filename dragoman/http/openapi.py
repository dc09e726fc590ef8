"""The HTTP interface of a server as an OpenAPI document, with the limits of the bundle that is served."""

from http import HTTPStatus
from typing import Any

from dragoman.bundle.manifest import Manifest
from dragoman.errors import InferenceError, InvalidInput, UnavailableError
from dragoman.items.bodies import FORM_TYPE, JSON_TYPE, TEXT_TYPE
from dragoman.tasks.base import Interface, task_class

Schema = dict[str, Any]

# Read off the exceptions, so that the document cannot fall behind them.
CODES = {
    code: status for kind in (InvalidInput, InferenceError, UnavailableError) for code, status in kind.statuses.items()
}
ROUTING_CODES = ("not_found", "method_not_allowed")
REQUEST, RESPONSE, ERROR = ({"$ref": f"#/components/schemas/{name}"} for name in ("Request", "Response", "Error"))


def document(manifest: Manifest) -> dict[str, Any]:
    """Make the OpenAPI 3.0 document of a server of this bundle."""
    task = task_class(manifest.task)
    interface = task.interface(manifest)
    description = f"{interface.description}; e" if interface.description else "E"
    ready = {"200": {"description": "Ready"}, "503": _error(503, ["not_ready"])}
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
            **{
                path: {"get": _get(page.summary, {"content": {JSON_TYPE: {"schema": page.schema}}})}
                for path, page in task.pages(manifest).items()
            },
            "/livez": {"get": _get("Whether the process answers", {})},
            "/readyz": {"get": {"summary": "Whether requests are answered by now", "responses": ready}},
            "/metrics": {"get": _get("Prometheus metrics", {"content": {TEXT_TYPE: {"schema": {"type": "string"}}}})},
        },
        "components": {
            "schemas": {
                "Request": interface.request,
                "Response": _response_schema(manifest, interface),
                "Error": {
                    "type": "object",
                    "required": ["error", "code"],
                    "properties": {
                        "error": {
                            "type": "string",
                            "description": "One sentence: what is wrong, the value seen, what is accepted",
                        },
                        "code": {"type": "string", "enum": list(CODES)},
                        "field": {
                            "type": "string",
                            "description": "The field of the request at fault",
                            "example": f"{task.input_field}[3]",
                        },
                    },
                },
            }
        },
    }


def _route(manifest: Manifest, interface: Interface) -> Schema:
    task = task_class(manifest.task)
    bodies: Schema = {JSON_TYPE: {"schema": REQUEST, "examples": interface.request_examples}}
    if task.takes_text:
        bodies[TEXT_TYPE] = {"schema": interface.text or {"type": "string"}, "example": task.example_item}
    bodies |= interface.bodies or {FORM_TYPE: {"schema": REQUEST, "example": task.request_for(task.example_item)}}
    answers = {
        name: {"value": {**example, "model": manifest.identity()} if isinstance(example, dict) else example}
        for name, example in interface.response_examples.items()
    }
    codes_by_status: dict[int, list[str]] = {}
    for code, status in CODES.items():
        if code not in ROUTING_CODES:
            codes_by_status.setdefault(status, []).append(code)
    return {
        "summary": interface.summary,
        "operationId": task.route.rpartition("/")[2],
        "requestBody": {
            "required": True,
            "description": f"At most {task.limits_of(manifest).max_body_bytes} bytes.",
            "content": bodies,
        },
        "responses": {
            "200": {
                "description": interface.response.get(
                    "description", f"The answer: lists where `{task.input_field}` was a list"
                ),
                "content": {JSON_TYPE: {"schema": RESPONSE, "examples": answers}},
            },
            **{str(status): _error(status, codes) for status, codes in sorted(codes_by_status.items())},
        },
    }


def _response_schema(manifest: Manifest, interface: Interface) -> Schema:
    """Add to the task's own schema of an object the model that answers; the entries of a list name it themselves."""
    if interface.response["type"] == "array":
        return interface.response
    text: Schema = {"type": "string"}
    model: Schema = {"name": text, "version": text, "run_id": {**text, "nullable": True}, "digest": text}
    described = {"type": "object", "required": sorted(model), "properties": model, "example": manifest.identity()}
    return {
        **interface.response,
        "required": [*interface.response["required"], "model"],
        "properties": {**interface.response["properties"], "model": described},
    }


def _error(status: int, codes: list[str]) -> Schema:
    example = {"error": "a sentence that says what is wrong", "code": codes[0]}
    named = ", ".join(f"`{code}`" for code in codes)
    content = {JSON_TYPE: {"schema": ERROR, "example": example}}
    return {"description": f"{HTTPStatus(status).phrase}: {named}", "content": content}


def _get(summary: str, content: Schema) -> Schema:
    return {"summary": summary, "responses": {"200": {"description": "OK", **content}}}
