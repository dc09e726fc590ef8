"""The base of every classification: labels, the body of a request, probabilities, and the answer of Hugging Face's API.

A task adds what becomes of an input before the network, ``parse`` and ``render``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any, ClassVar

import numpy
from numpy.typing import NDArray

from dragoman.bundle.manifest import Manifest
from dragoman.errors import BundleError, InvalidInput
from dragoman.items.bodies import json_type, shown
from dragoman.items.outcomes import Failure, OnOutcome, Result
from dragoman.tasks.base import Columns, Input, Request, Schema, Task, one_or_list

FIELDS = ("inputs", "parameters")
PARAMETERS = ("top_k", "function_to_apply")
SOFTMAX = "softmax"
# More labels than that are counted on the card and not listed.
LISTED_LABELS = 30


def fits_a_line(label: str) -> bool:
    """Tell whether a label can be written into a line of text without breaking it."""
    return bool(label.strip()) and label.isprintable()


def problem_of_labels(labels: Sequence[str]) -> str | None:
    """Describe what is wrong with the labels of a manifest, None where nothing is."""
    if len(labels) < 2 or len(set(labels)) < len(labels):
        return f"labels must be two different ones or more, got {', '.join(labels) or 'none'}"
    if not all(map(fits_a_line, labels)):
        return f"labels must be words that can be printed, got {', '.join(map(ascii, labels))}"
    return None


@dataclass(frozen=True)
class Classification:
    """The probabilities of an input, highest first: of all labels, or of as many as a request asked for."""

    scores: tuple[tuple[str, float], ...]

    @property
    def label(self) -> str:
        """The most likely label."""
        return self.scores[0][0]

    @property
    def score(self) -> float:
        """The probability of the most likely label."""
        return self.scores[0][1]


def classify(
    logits: Sequence[Sequence[float]], weights: Sequence[int], *, labels: Sequence[str], temperature: float
) -> Classification:
    """Average the probabilities of an input's items by their weights; equal ones keep the order of ``labels``."""
    total = numpy.zeros(len(labels))
    # Row by row, so that an input's sums have one order, however many others are answered with it.
    for row, weight in zip(logits, weights, strict=True):
        total += weight * probabilities(row, temperature=temperature)
    total /= sum(weights)
    order, scores = numpy.argsort(-total, kind="stable").tolist(), total.tolist()
    return Classification(tuple((labels[place], scores[place]) for place in order))


def probabilities(logits: Sequence[float], *, temperature: float) -> NDArray[numpy.float64]:
    """Return the softmax of one row of logits, in 64 bits."""
    scaled = numpy.asarray(logits, dtype=numpy.float64) / temperature
    raised = numpy.exp(scaled - scaled.max())
    result: NDArray[numpy.float64] = raised / raised.sum()
    return result


@dataclass(frozen=True, kw_only=True)
class Wording:
    """The words of error messages for an input: alone, as a member of a list, several of them, and a value in JSON."""

    one: str
    member: str
    many: str
    example: str


@dataclass(frozen=True, kw_only=True)
class Body:
    """The inputs of a request, the field that names each in errors, and the number of labels wanted for each."""

    inputs: tuple[Any, ...]
    fields: tuple[str, ...]
    is_list: bool
    top_k: int


def check_body(payload: Any, wording: Wording, *, types: type | UnionType, most: int, num_labels: int) -> Body:
    """Check the structure of a decoded body, ``inputs`` and ``parameters`` as Hugging Face's clients send them.

    ``types`` are those of an input, ``most`` is how many a list may hold. Raises InvalidInput with the field, its value
    and the accepted values.
    """
    if not isinstance(payload, Mapping):
        example = f'{{"inputs": "{wording.example}"}}'
        raise InvalidInput(f"the body must be a JSON object such as {example}, got {json_type(payload)}")
    _refuse_unknown(payload, FIELDS, where="")
    inputs, fields, is_list = one_or_list(payload, "inputs", most=most)
    for value, field in zip(inputs, fields, strict=True):
        if not isinstance(value, types):
            expected = wording.member if is_list else f"{wording.one} or a list of {wording.many}"
            raise InvalidInput(f"{field} must be {expected}, got {json_type(value)}", field=field)
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
            f'parameters.function_to_apply must be "{SOFTMAX}", since {wording.one} has one label, '
            f"got {shown(function)}",
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
    return Body(inputs=tuple(inputs), fields=fields, is_list=is_list, top_k=top_k)


def _refuse_unknown(given: Mapping[str, Any], accepted: tuple[str, ...], *, where: str) -> None:
    unknown = sorted(set(given) - set(accepted))
    if unknown:
        field = f"{where}{unknown[0]}"
        hint = f"; put {field} into parameters" if field in PARAMETERS else ""
        raise InvalidInput(f"unknown field {shown(field)}; accepted are {', '.join(accepted)}{hint}", field=field)


@dataclass(frozen=True, kw_only=True)
class WeightedInput(Input):
    """An input as the items whose probabilities are averaged, with the weight of each and the number of labels."""

    weights: tuple[int, ...]
    top_k: int


class Classifier(Task):
    """A task that gives one of the labels in its options to each input."""

    route = "/classify"
    request_fields = FIELDS
    no_output: ClassVar[Any] = {}

    @classmethod
    def options_of(cls, manifest: Manifest) -> Any:
        """Read the options of a manifest; raises BundleError naming all faults."""
        options = super().options_of(manifest)
        problem = options.problem()
        if problem:
            raise BundleError(f"the options of {manifest.name} are wrong: {problem}; export the model again")
        return options

    @classmethod
    def work(cls, manifest: Manifest) -> str:
        """Name the labels: only models of the same ones can be compared."""
        # In quotation marks, since a label may hold a comma.
        labels = (json.dumps(label, ensure_ascii=False) for label in sorted(cls.options_of(manifest).labels))
        return f"{manifest.task} by {', '.join(labels)}"

    @classmethod
    def columns(cls, manifest: Manifest) -> Columns:
        """Describe a request as a row of a table."""
        return Columns(
            inputs={cls.input_field: "string"}, outputs={"label": "string", "score": "double", "scores": "string"}
        )

    @classmethod
    def row(cls, body: Any) -> Mapping[str, Any]:
        """Return the most likely label with its probability, and the probabilities of all labels as JSON."""
        (scores,) = cls.outputs_of(body)
        label, score = next(iter(scores.items()))
        return {"label": label, "score": score, "scores": json.dumps(scores, ensure_ascii=False)}

    @classmethod
    def outputs_of(cls, body: Any) -> list[dict[str, float]]:
        """Read the probabilities by label of each input, in the form of ``output``."""
        return [{entry["label"]: entry["score"] for entry in entries} for entries in body]

    @staticmethod
    def output(value: Classification) -> dict[str, float]:
        """Return the probabilities by label, highest first."""
        return dict(value.scores)

    @classmethod
    def decision(cls, output: dict[str, float]) -> str | None:
        """Return the most likely label; None for an input that was refused."""
        return next(iter(output), None)

    @classmethod
    def line(cls, output: dict[str, float]) -> str:
        """Write the most likely label and its probability."""
        label, score = next(iter(output.items()))
        return f"{label}\t{score:.4f}"

    def run(self, batch: Sequence[Any], *, on_outcome: OnOutcome | None = None) -> list[Result | Failure]:
        """Compute the logits of a batch of items."""
        return [Result(row) for row in self.engine.logits(batch)]

    def assemble(self, prepared: WeightedInput, outcomes: Sequence[Result | Failure]) -> Result | Failure:
        """Make the Classification of an input from the logits of its items, or the first failure among them."""
        logits: list[tuple[float, ...]] = []
        for outcome in outcomes:
            if isinstance(outcome, Failure):
                return outcome
            logits.append(outcome.value)
        labels, temperature = self.options.labels, self.options.temperature
        found = classify(logits, prepared.weights, labels=labels, temperature=temperature)
        return Result(Classification(found.scores[: prepared.top_k]))

    def render(self, request: Request, results: Sequence[Result]) -> list[Any]:
        """Make Hugging Face's response, a list for each input, with the model's name and version in each entry."""
        model = f"{self.manifest.name}:{self.manifest.version}"
        found: list[Classification] = [result.value for result in results]
        return [
            [{"label": label, "score": score, "model": model} for label, score in classification.scores]
            for classification in found
        ]

    def answer_size(self, request: Request) -> int:
        """Count the items that are averaged and the labels that are given."""
        inputs: tuple[WeightedInput, ...] = request.inputs
        return len(request.items) + sum(prepared.top_k for prepared in inputs)


def label_and_score(output: Mapping[str, float]) -> dict[str, Any]:
    """Return the columns of a table of samples; the output of a refused input is empty."""
    label, score = next(iter(output.items()), (None, None))
    # For people: no more digits than they compare.
    return {"label": label, "score": None if score is None else round(score, 4)}


def listed(labels: Sequence[str]) -> str:
    """Count the labels and name them, or the first of many."""
    names = ", ".join(labels) if len(labels) <= LISTED_LABELS else f"{', '.join(labels[:LISTED_LABELS])} and others"
    return f"{len(labels)} labels ({names})"


def parameters_schema(labels: Sequence[str], *, one: str) -> Schema:
    """Describe the field ``parameters`` of a request."""
    return {
        "type": "object",
        "nullable": True,
        "additionalProperties": False,
        "properties": {
            "top_k": {
                "type": "integer",
                "nullable": True,
                "minimum": 1,
                "maximum": len(labels),
                "default": len(labels),
                "description": f"How many labels to give for each {one}, the most likely first",
            },
            "function_to_apply": {
                "type": "string",
                "nullable": True,
                "enum": [SOFTMAX, None],
                "default": SOFTMAX,
            },
        },
    }


def entries_schema(labels: Sequence[str], *, model: str) -> Schema:
    """Describe the answer to one input."""
    return {
        "type": "array",
        "description": "The labels, the most likely first",
        "items": {
            "type": "object",
            "required": ["label", "score", "model"],
            "properties": {
                "label": {"type": "string", "enum": list(labels)},
                "score": {"type": "number", "minimum": 0, "maximum": 1, "description": "Its probability"},
                "model": {"type": "string", "description": "Name and version of the model", "example": model},
            },
        },
    }
