"""The bodies of requests for images: a file as it is, a form with one file, or base64 in Hugging Face's JSON."""

import base64
import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dragoman.errors import InvalidInput
from dragoman.items.bodies import FORM_TYPE, JSON_TYPE, MULTIPART_TYPE, RawRequest, read_payload, sent_as_form
from dragoman.items.multipart import read_parts
from dragoman.tasks.classification import Wording, check_body
from dragoman.tasks.image_classification.decoding import check_size
from dragoman.tasks.image_classification.headers import Picture, is_image, read_header
from dragoman.tasks.image_classification.options import Limits, Options

FORM_FIELD = re.compile(rb"[\w.%+-]+=")
WORDING = Wording(one="an image", member="an image in base64", many="images in base64", example="base64")


@dataclass(frozen=True, kw_only=True)
class Images:
    """The images of a request with their headers read, and the number of labels wanted for each.

    ``fields`` name them in errors, but for an image that is a body by itself, where there is no field to name.
    """

    pictures: tuple[Picture, ...]
    fields: tuple[str | None, ...]
    is_list: bool
    top_k: int


def read_images(raw: RawRequest) -> Any:
    """Recognise an image by its first bytes, whatever its content type; else read a form or JSON; raises InvalidInput.

    The image of a body that is no JSON stays bytes in the payload.
    """
    if is_image(raw.body):
        return {"inputs": raw.body}
    if raw.parts is not None or raw.media_type == MULTIPART_TYPE:
        parts = read_parts(raw)
        if len(parts) != 1:
            raise InvalidInput(f"the form must hold one file alone, got {len(parts)} parts; for several send JSON")
        return {"inputs": parts[0].content}
    if raw.media_type == JSON_TYPE or raw.body.lstrip()[:1] in (b"{", b"["):
        return read_payload(RawRequest(body=raw.body, content_type=JSON_TYPE), text_field=None, text_fields=frozenset())
    # curl calls every body a form: without a field it is what it looks like, a file of another kind or nothing.
    if raw.form is not None or (raw.media_type == FORM_TYPE and FORM_FIELD.match(raw.body)):
        raise sent_as_form()
    return {"inputs": raw.body}


def parse_request(payload: Any, *, options: Options, limits: Limits) -> Images:
    """Check a payload and the headers of its images; raises InvalidInput with the field and the accepted values."""
    body = check_body(payload, WORDING, types=str | bytes, most=limits.max_items, num_labels=len(options.labels))
    pictures: list[Picture] = []
    fields = tuple(
        field if isinstance(value, str) else None for value, field in zip(body.inputs, body.fields, strict=True)
    )
    total = 0
    for value, field in zip(body.inputs, fields, strict=True):
        with naming(field):
            picture = read_header(value if isinstance(value, bytes) else from_base64(value))
            check_size(picture, options.preprocessing, max_pixels=limits.max_pixels)
            pictures.append(picture)
            total += picture.width * picture.height
            # All together, since each takes its time: a list of small files may stand for many large images.
            if total > limits.max_pixels:
                raise InvalidInput(
                    f"it takes the images of this request beyond {limits.max_pixels} pixels, the limit of all "
                    "together; send several requests",
                    code="image_too_large",
                )
    return Images(pictures=tuple(pictures), fields=fields, is_list=body.is_list, top_k=body.top_k)


def from_base64(text: str) -> bytes:
    """Decode base64, alone or as a ``data:`` URL, strictly; raises InvalidInput."""
    if text.startswith("data:"):
        head, _, text = text.partition(",")
        if not head.endswith(";base64"):
            raise InvalidInput("the data: URL is not in base64; write data:image/jpeg;base64, before the data")
    if text[:8].lower().startswith(("http://", "https://")):
        raise InvalidInput("this is an address, and nothing is fetched from one; send the bytes of the file in base64")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise InvalidInput("this is not base64; encode the bytes of the file, without line breaks") from error


@contextlib.contextmanager
def naming(field: str | None) -> Iterator[None]:
    """Put the field of a request before the message of an InvalidInput that is raised within."""
    try:
        yield
    except InvalidInput as error:
        if field is None:
            raise
        raise InvalidInput(f"{field}: {error}", field=field, code=error.code) from error
