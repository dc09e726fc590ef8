"""Checks of the texts of a request, before any work is put into them."""

from collections.abc import Sequence
from typing import Any

from dragoman.errors import InvalidInput


def check_texts(texts: Sequence[Any], fields: Sequence[str], *, most: int, purpose: str) -> None:
    """Check that texts are valid, not empty, and together within ``most`` characters; raises InvalidInput.

    ``fields`` name them in errors, and ``purpose`` is the verb for what they are sent for.
    """
    characters = 0
    for text, field in zip(texts, fields, strict=True):
        _check(text, field, most=most, purpose=purpose)
        characters += len(text)
        if characters > most:
            raise InvalidInput(
                f"{field} takes the texts of this request beyond {most} characters, "
                "the limit of all together; send several requests",
                field=field,
                code="text_too_long",
            )


def _check(text: Any, field: str, *, most: int, purpose: str) -> None:
    if not isinstance(text, str):
        raise InvalidInput(f"{field} must be text, got {type(text).__name__}", field=field)
    if not text.strip():
        raise InvalidInput(f"{field} is empty; give a text to {purpose}", field=field)
    if len(text) > most:
        raise InvalidInput(
            f"{field} has {len(text)} characters, the limit is {most}; split it into shorter texts",
            field=field,
            code="text_too_long",
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{field} holds half of a surrogate pair at character {error.start}; send valid Unicode", field=field
        ) from error
