"""SIGTERM in the middle of many requests: each must still be answered, correctly, and the server end with 0."""

import json
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from deploy.conformance.corpus import load_corpus
from deploy.conformance.servers import Endpoint
from deploy.images.container import Container
from dragoman.http.protocol import Body, Reply
from dragoman.items.bodies import JSON_TYPE, RawRequest
from dragoman.tasks.base import task_class

# More than the batches that TorchServe computes at once, so that some wait in its queue.
CLIENTS = 48
# Items of a request, so that all together take some seconds; no two are equal, since equal ones are computed once.
ITEMS = 12
END_WITHIN_S = 90.0


@dataclass(frozen=True, kw_only=True)
class Drained:
    """The outcome for the requests that were in flight when the server got SIGTERM."""

    requests: int
    in_flight: int
    answered: int
    exit_code: int | None


def drain(container: Container, ways: Sequence[Endpoint], engine: Endpoint, task: str) -> Drained:
    """Send requests to a server by all its ways, send SIGTERM when the first is answered, and count."""
    items = load_corpus(task).items(CLIENTS * ITEMS)
    parts = [items[start : start + ITEMS] for start in range(0, len(items), ITEMS)]
    bodies = [json.dumps(task_class(task).request_for(part)).encode() for part in parts]
    requests = [RawRequest(body=body, content_type=JSON_TYPE) for body in bodies]
    expected = [engine.ask(request).body for request in requests]
    with ThreadPoolExecutor(CLIENTS) as pool:
        asked = {pool.submit(ways[n % len(ways)].ask, request): n for n, request in enumerate(requests)}
        next(as_completed(asked))
        in_flight = sum(not future.done() for future in asked)
        container.terminate()
        answered = sum(_is_right(future, expected[number]) for future, number in asked.items())
        return Drained(
            requests=len(requests),
            in_flight=in_flight,
            answered=answered,
            exit_code=container.wait_for_end(END_WITHIN_S),
        )


def _is_right(future: Future[Reply], expected: Body) -> bool:
    if future.exception() is not None:
        print(f"no answer: {future.exception()}")
        return False
    return future.result().body == expected
