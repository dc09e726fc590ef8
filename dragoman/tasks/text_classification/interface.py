"""The descriptions of text classification: Hugging Face's bodies as schemas, and the model card."""

from dragoman.bundle.manifest import Manifest
from dragoman.bundle.model_card import Card
from dragoman.tasks.base import Interface, Schema
from dragoman.tasks.classification import entries_schema, listed, parameters_schema
from dragoman.tasks.text_classification.options import Limits, Options

# An article of the length that a window holds, which warms an engine up as requests will use it.
EXAMPLE = (
    "The company said its profit rose to 12 million dollars in the third quarter, from 9.5 million a year earlier."
)


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
                "parameters": parameters_schema(options.labels, one="text"),
            },
        },
        response={
            "type": "array",
            "description": "One list for each text, also for a text alone",
            "items": entries_schema(options.labels, model=model),
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
    return Card(
        what=f"A BERT that classifies texts by {listed(options.labels)}",
        limits=(
            f"The texts of a request may have {limits.max_characters} characters together. A text of more than "
            f"{options.window_tokens} tokens is read in windows that share {options.overlap_tokens} tokens, and their "
            "probabilities are averaged.",
            "Every text gets one of its labels, also a text to which none applies.",
        ),
    )
