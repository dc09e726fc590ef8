"""Splitting of a multipart body into its parts, where a server hands it over whole."""

from collections.abc import Callable, Sequence

from dragoman.errors import InvalidInput
from dragoman.items.bodies import MULTIPART_TYPE, Part, RawRequest

# One file and a few fields beside it; a body of thousands of empty parts would only cost time.
MAX_PARTS = 16


def read_parts(raw: RawRequest) -> Sequence[Part]:
    """Return the parts of a multipart body, as its server split it or split here; raises InvalidInput.

    A part that its boundary does not end is left out, as TorchServe's front end does.
    """
    return split_parts(raw.body, raw.content_type or "") if raw.parts is None else raw.parts


def split_parts(body: bytes, content_type: str) -> list[Part]:
    """Split a multipart body by the boundary that its content type names; raises InvalidInput."""
    # The parser that Starlette uses, which comes with BentoML. TorchServe's front end splits bodies itself.
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser, parse_options_header

    parts: list[Part] = []
    # Of the part that is being read: its bytes, its headers by name, and the name of the header that is being read.
    content, headers, name, value = bytearray(), dict[bytes, bytes](), bytearray(), bytearray()

    def begin() -> None:
        content.clear()
        headers.clear()

    def end_of_header() -> None:
        headers[bytes(name).lower()] = bytes(value)
        name.clear()
        value.clear()

    def end() -> None:
        _, options = parse_options_header(headers.get(b"content-disposition"))
        if b"name" not in options:
            raise _not_multipart("a part has no name")
        if len(parts) == MAX_PARTS:
            raise _not_multipart(f"it has more than {MAX_PARTS} parts")
        field = options[b"name"].decode("utf-8", "replace")
        parts.append(Part(name=field, content=bytes(content)))

    def added_to(buffer: bytearray) -> Callable[[bytes, int, int], None]:
        def add(data: bytes, start: int, stop: int) -> None:
            buffer.extend(data[start:stop])

        return add

    _, options = parse_options_header(content_type)
    try:
        parser = MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": begin,
                "on_header_field": added_to(name),
                "on_header_value": added_to(value),
                "on_header_end": end_of_header,
                "on_part_data": added_to(content),
                "on_part_end": end,
            },
        )
        parser.write(body)
    except KeyError as error:
        raise _not_multipart("the content type names no boundary") from error
    except FormParserError as error:
        raise _not_multipart("its parts cannot be told apart") from error
    return parts


def _not_multipart(reason: str) -> InvalidInput:
    return InvalidInput(f"the body is not {MULTIPART_TYPE}: {reason}; send one file, as curl -F file=@name does")
