"""The descriptions of text classification: Hugging Face's bodies as schemas, and the model card."""

from dragoman.bundle.manifest import Manifest
from dragoman.bundle.model_card import Card
from dragoman.tasks.base import Columns, Interface, Schema
from dragoman.tasks.text_classification.options import Limits, Options
from dragoman.tasks.text_classification.request import SOFTMAX

# More labels than that are counted on the card and not listed.
LISTED_LABELS = 30
# An article of the length that a window holds, which warms an engine up as requests will use it.
EXAMPLE = (
    "The company said its profit rose to 12 million dollars in the third quarter, from 9.5 million a year earlier."
)

COLUMNS = Columns(inputs={"inputs": "string"}, outputs={"label": "string", "score": "double", "scores": "string"})


def route(manifest: Manifest, options: Options, limits: Limits) -> Interface:
    """Describe ``POST /classify``."""
    text: Schema = {"type": "string", "minLength": 1, "maxLength": limits.max_characters}
    model = f"{manifest.name}:{manifest.version}"
    first, second = options.labels[:2]
    answer = [{"label": first, "score": 0.97, "model": model}, {"label": second, "score": 0.03, "model": model}]
    return Interface(
        summary="Classify a text, or a list of texts",
        description=f"Classification of texts by {len(options.labels)} labels. The bodies are those of Hugging Face's "
        "inference API, so its clients work unchanged",
        request={
            "type": "object",
            "required": ["inputs"],
            "additionalProperties": False,
            "properties": {
                "inputs": {
                    "description": f"The text, or a list of texts, of {limits.max_characters} characters together at "
                    "most; a text longer than the model reads is read in windows, whose probabilities are averaged",
                    "oneOf": [text, {"type": "array", "minItems": 1, "maxItems": limits.max_items, "items": text}],
                },
                "parameters": {
                    "type": "object",
                    "nullable": True,
                    "additionalProperties": False,
                    "properties": {
                        "top_k": {
                            "type": "integer",
                            "nullable": True,
                            "minimum": 1,
                            "maximum": len(options.labels),
                            "default": len(options.labels),
                            "description": "How many labels to give for each text, the most likely first",
                        },
                        "function_to_apply": {
                            "type": "string",
                            "nullable": True,
                            "enum": [SOFTMAX, None],
                            "default": SOFTMAX,
                        },
                    },
                },
            },
        },
        response={
            "type": "array",
            "description": "One list for each text, also for a text alone",
            "items": {
                "type": "array",
                "description": "The labels, the most likely first",
                "items": {
                    "type": "object",
                    "required": ["label", "score", "model"],
                    "properties": {
                        "label": {"type": "string", "enum": list(options.labels)},
                        "score": {"type": "number", "minimum": 0, "maximum": 1, "description": "Its probability"},
                        "model": {"type": "string", "description": "Name and version of the model", "example": model},
                    },
                },
            },
        },
        request_examples={
            "text": {"value": {"inputs": EXAMPLE, "parameters": {"top_k": 2}}},
            "list": {"value": {"inputs": [EXAMPLE, "The harvest was small."], "parameters": {"top_k": 1}}},
        },
        response_examples={"text": [answer], "list": [answer[:1], answer[:1]]},
        text=text,
    )


def card(options: Options, limits: Limits) -> Card:
    """Describe the model for its card."""
    labels = options.labels
    listed = ", ".join(labels) if len(labels) <= LISTED_LABELS else f"{', '.join(labels[:LISTED_LABELS])} and others"
    return Card(
        what=f"A BERT that classifies texts by {len(labels)} labels ({listed})",
        limits=(
            f"The texts of a request may have {limits.max_characters} characters together. A text of more than "
            f"{options.window_tokens} tokens is read in windows that share {options.overlap_tokens} tokens, and their "
            "probabilities are averaged.",
            "Every text gets one of its labels, also a text to which none applies.",
        ),
    )
