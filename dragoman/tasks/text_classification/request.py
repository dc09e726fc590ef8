"""The request body of text classification: ``inputs`` and ``parameters``, as Hugging Face's clients send them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dragoman.errors import InvalidInput
from dragoman.items.bodies import json_type, shown
from dragoman.tasks.base import one_or_list
from dragoman.tasks.text_classification.options import Limits

FIELDS = ("inputs", "parameters")
PARAMETERS = ("top_k", "function_to_apply")
SOFTMAX = "softmax"


@dataclass(frozen=True, kw_only=True)
class Texts:
    """The texts of a request, the field that names each in errors, and the number of labels wanted for each."""

    texts: tuple[Any, ...]
    fields: tuple[str, ...]
    is_list: bool
    top_k: int


def parse_request(payload: Any, *, num_labels: int, limits: Limits) -> Texts:
    """Check the structure of a decoded body; raises InvalidInput with the field, its value and the accepted values."""
    if not isinstance(payload, Mapping):
        raise InvalidInput(f'the body must be a JSON object such as {{"inputs": "text"}}, got {json_type(payload)}')
    _refuse_unknown(payload, FIELDS, where="")
    texts, fields, is_list = one_or_list(payload, "inputs", most=limits.max_items)
    for text, field in zip(texts, fields, strict=True):
        if not isinstance(text, str):
            expected = "text" if is_list else "a text or a list of texts"
            raise InvalidInput(f"{field} must be {expected}, got {json_type(text)}", field=field)
    # Clients send what was not set as null, or the whole without a parameter.
    parameters = payload.get("parameters")
    if parameters is None:
        parameters = {}
    if not isinstance(parameters, Mapping):
        raise InvalidInput(
            f'parameters must be an object such as {{"top_k": 1}}, got {json_type(parameters)}', field="parameters"
        )
    _refuse_unknown(parameters, PARAMETERS, where="parameters.")
    function = parameters.get("function_to_apply")
    if function not in (None, SOFTMAX):
        raise InvalidInput(
            f'parameters.function_to_apply must be "{SOFTMAX}", since a text has one label, got {shown(function)}',
            field="parameters.function_to_apply",
        )
    top_k = parameters.get("top_k")
    if top_k is None:
        top_k = num_labels
    if type(top_k) is not int or not 1 <= top_k <= num_labels:
        raise InvalidInput(
            f"parameters.top_k must be a whole number from 1 to {num_labels}, the number of labels, got {shown(top_k)}",
            field="parameters.top_k",
        )
    return Texts(texts=tuple(texts), fields=fields, is_list=is_list, top_k=top_k)


def _refuse_unknown(given: Mapping[str, Any], accepted: tuple[str, ...], *, where: str) -> None:
    unknown = sorted(set(given) - set(accepted))
    if unknown:
        field = f"{where}{unknown[0]}"
        hint = f"; put {field} into parameters" if field in PARAMETERS else ""
        raise InvalidInput(f"unknown field {shown(field)}; accepted are {', '.join(accepted)}{hint}", field=field)
