"""The descriptions of image classification: bodies of image files and of Hugging Face's JSON, and the model card."""

import base64

from dragoman.bundle.manifest import Manifest
from dragoman.bundle.model_card import Card
from dragoman.items.bodies import MULTIPART_TYPE
from dragoman.tasks.base import Interface, Schema
from dragoman.tasks.classification import entries_schema, listed, parameters_schema
from dragoman.tasks.image_classification.options import Limits, Options

# A PNG of 8x8 pixels, red growing to the right and green downwards: each request costs the network the same.
EXAMPLE_IN_BASE64 = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAGUlEQVR42mNkYGhQYGDARCwMCgxYweCUAABobwJednxjlwAAAABJRU5ErkJggg=="
)
EXAMPLE = base64.b64decode(EXAMPLE_IN_BASE64)
FORMATS = "JPEG (also a phone's MPO), PNG or WebP, of 8 bits a colour and one frame"
FILE: Schema = {"type": "string", "format": "binary"}


def route(manifest: Manifest, options: Options, limits: Limits) -> Interface:
    """Describe ``POST /classify``."""
    image: Schema = {"type": "string", "format": "byte", "minLength": 1}
    model = f"{manifest.name}:{manifest.version}"
    first, second = options.labels[:2]
    answer = [{"label": first, "score": 0.97, "model": model}, {"label": second, "score": 0.03, "model": model}]
    entries = entries_schema(options.labels, model=model)
    return Interface(
        summary="Classify an image, or a list of images",
        description=f"Classification of images by {len(options.labels)} labels. An image is a {FORMATS}. A body is an "
        "image file as it is, whatever its content type, a form with one file, or the JSON of Hugging Face's inference "
        "API, whose clients work unchanged",
        request={
            "type": "object",
            "required": ["inputs"],
            "additionalProperties": False,
            "properties": {
                "inputs": {
                    "description": "The image in base64, also as a data: URL, or a list of images, of "
                    f"{limits.max_pixels} pixels together at most",
                    "oneOf": [image, {"type": "array", "minItems": 1, "maxItems": limits.max_items, "items": image}],
                },
                "parameters": parameters_schema(options.labels, one="image"),
            },
        },
        response={
            "type": "array",
            "description": "The labels of an image, the most likely first; for a list of images, a list of such lists",
            "items": {"oneOf": [entries["items"], entries]},
        },
        request_examples={
            "image": {"value": {"inputs": EXAMPLE_IN_BASE64, "parameters": {"top_k": 2}}},
            "list": {"value": {"inputs": [EXAMPLE_IN_BASE64, EXAMPLE_IN_BASE64], "parameters": {"top_k": 1}}},
        },
        response_examples={"image": answer, "list": [answer[:1], answer[:1]]},
        bodies={
            "image/*": {"schema": FILE},
            "application/octet-stream": {"schema": FILE},
            MULTIPART_TYPE: {"schema": {"type": "object", "required": ["file"], "properties": {"file": FILE}}},
        },
    )


def card(options: Options, limits: Limits) -> Card:
    """Describe the model for its card."""
    seen = options.preprocessing
    way = "squashed to" if seen.resizing == "squash" else "resized, and its middle cut out, to"
    return Card(
        what=f"A network that classifies images by {listed(options.labels)}",
        limits=(
            f"An image is a {FORMATS}, of {limits.max_pixels} pixels at most. It is {way} {seen.width}x{seen.height} "
            "pixels; what is transparent shows white, and colour profiles are not applied.",
            "Every image gets one of its labels, also an image to which none applies.",
        ),
    )
