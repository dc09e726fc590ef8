"""The bodies and answers of servers of images: a file as it is, or as the one part of a form."""

import json
from typing import Any

from benchmarks.peers.base import Exchange
from dragoman.tasks.base import Task

JPEG_TYPE = "image/jpeg"
BOUNDARY = "a-line-that-no-photograph-holds"


def file_to_ours(task: type[Task]) -> Exchange:
    """Return the exchange with our servers: the file is the body."""

    def output(reply: str) -> Any:
        (found,) = task.outputs_of([json.loads(reply)])
        return found

    return Exchange(content_type=JPEG_TYPE, body=lambda file: file, output=output)


def file_for_scores() -> Exchange:
    """Return the exchange with a server that takes a file and answers probabilities by label."""
    return Exchange(content_type=JPEG_TYPE, body=lambda file: file, output=json.loads)


def form_for_scores(field: str, *, is_list: bool) -> Exchange:
    """Return the exchange with a server that takes a form; one for lists answers a list."""
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="photo.jpg"\r\n'
        f"Content-Type: {JPEG_TYPE}\r\n\r\n"
    ).encode()
    tail = f"\r\n--{BOUNDARY}--\r\n".encode()

    def output(reply: str) -> Any:
        found = json.loads(reply)
        return found[0] if is_list else found

    return Exchange(
        content_type=f"multipart/form-data; boundary={BOUNDARY}", body=lambda file: head + file + tail, output=output
    )
