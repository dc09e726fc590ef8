"""A multipart body is split within bounds, and as TorchServe's front end splits it."""

import time

import pytest

from dragoman.errors import InvalidInput
from dragoman.items.bodies import Part, RawRequest
from dragoman.items.multipart import MAX_PARTS, read_parts, split_parts

TYPE = "multipart/form-data; boundary=line"
FILE = b'--line\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n\x00\r\n--lin\xff\r\n'
FIELD = b'--line\r\ncontent-disposition: form-data; name="top_k"\r\n\r\n3\r\n'
END = b"--line--\r\n"


def test_files_and_fields_are_parts_and_their_bytes_stay_as_they_are() -> None:
    assert split_parts(FILE + FIELD + END, TYPE) == [
        Part(name="file", content=b"\x00\r\n--lin\xff"),
        Part(name="top_k", content=b"3"),
    ]


def test_what_a_server_has_split_is_not_split_again() -> None:
    parts = (Part(name="file", content=b"\x00"),)
    raw = RawRequest(content_type=TYPE, parts=parts)
    assert read_parts(raw) is parts
    assert raw.size == 1


def test_a_part_that_does_not_end_is_left_out() -> None:
    assert split_parts(FIELD + FILE[:-6], TYPE) == [Part(name="top_k", content=b"3")]


def test_a_quoted_boundary_and_a_name_outside_ascii_are_read() -> None:
    body = FILE.replace(b'"file"', '"Gemälde"'.encode()) + END
    (part,) = split_parts(body, 'Multipart/Form-Data; boundary="line"')
    assert part.name == "Gemälde"


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        (FILE + END, "multipart/form-data", "the content type names no boundary"),
        (FILE + END, "multipart/form-data; boundary=" + "x" * 300, "its parts cannot be told apart"),
        (b"no boundary at all", TYPE, "its parts cannot be told apart"),
        (b"--line\r\nno header\r\n\r\na\r\n" + END, TYPE, "its parts cannot be told apart"),
        (b'--line\r\nContent-Disposition: form-data; filename="a"\r\n\r\na\r\n' + END, TYPE, "a part has no name"),
        (b"--line\r\n" + b"A: b\r\n" * 9 + b"\r\na\r\n" + END, TYPE, "its parts cannot be told apart"),
        (FIELD * (MAX_PARTS + 1) + END, TYPE, f"it has more than {MAX_PARTS} parts"),
    ],
)
def test_what_is_no_multipart_body_is_refused(body: bytes, content_type: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as caught:
        split_parts(body, content_type)
    assert caught.value.status == 400


def test_bodies_that_look_like_boundaries_all_over_are_split_in_a_moment() -> None:
    head = FILE.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    for pattern in (b"\r\n--lin", b"\r", b"\r\n", b"-", b"\n"):
        content = pattern * (2**20 // len(pattern))
        began = time.process_time()
        (part,) = split_parts(head + content + b"\r\n" + END, TYPE)
        assert part.content == content
        assert time.process_time() - began < 2
