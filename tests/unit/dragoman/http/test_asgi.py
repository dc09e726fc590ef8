import asyncio
import json
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import dragoman
from dragoman.batching.batcher import MicroBatcher
from dragoman.errors import InvalidInput, UnavailableError
from dragoman.http.asgi import (
    CONTENT_TYPE_KEY,
    BodyRoom,
    ClientGone,
    ContractMiddleware,
    mark_answered,
    read_body,
    while_connected,
)
from dragoman.http.protocol import Reply, answer, answer_with
from dragoman.items.bodies import RawRequest
from dragoman.items.sizes import Capacity
from dragoman.predictor import Predictor


@pytest.fixture(scope="module")
def predictor(tiny_bundle: Path) -> Iterator[Predictor]:
    predictor = dragoman.load(tiny_bundle)
    yield predictor
    predictor.close()


def answered_together(predictor: Predictor, requests: list[RawRequest]) -> list[Reply]:
    async def together() -> list[Reply]:
        task = predictor.task
        batcher = MicroBatcher(
            predictor.computing.batch, batch_key=task.batch_key, size=task.size, capacity=Capacity(parallel_batches=2)
        )
        with ThreadPoolExecutor(2) as parsing:
            answers = [answer_with(batcher, predictor, raw, parse_in=parsing) for raw in requests]
            replies = await asyncio.gather(*answers)
        await batcher.close()
        return replies

    return asyncio.run(together())


def test_requests_answered_together_get_the_replies_that_each_gets_alone(predictor, toy_sentences):
    q = toy_sentences[:40]
    payloads: list[Any] = [{"q": text} for text in q]
    payloads += [{"q": q[:6], "alternatives": 1, "return_scores": True}, {"q": " ".join(q[:6]) + "\n\n\t" + q[7]}]
    payloads += [{"q": [q[0], q[0]], "num_beams": 3}, {"q": q[1], "max_new_tokens": 2}, {"q": ""}, {}, {"q": [q[0], 7]}]
    requests = [RawRequest(body=json.dumps(payload).encode()) for payload in payloads] + [RawRequest(body=b"{")]
    replies = answered_together(predictor, requests)
    assert replies == [answer(predictor, [raw])[0] for raw in requests]
    assert {reply.status for reply in replies} == {200, 400}


def test_a_model_that_fails_answers_everyone_as_it_does_alone(predictor, monkeypatch):
    monkeypatch.setattr(predictor.task, "run", lambda items, **_: 1 / 0)
    requests = [RawRequest(body=b'{"q": ["a", "b"]}'), RawRequest(body=b"{")]
    assert answered_together(predictor, requests) == answer(predictor, requests)


def test_a_queue_without_room_is_told_to_the_client(predictor, toy_sentences):
    may_go, task = threading.Event(), predictor.task

    def held(items: list[Any], *, on_outcome: Any) -> list[Any]:
        assert may_go.wait(20)
        return predictor.computing.batch(items)

    async def scene() -> list[Reply]:
        batcher = MicroBatcher(
            held,
            batch_key=task.batch_key,
            size=task.size,
            capacity=Capacity(parallel_batches=2, max_waiting_items=4),
        )
        with ThreadPoolExecutor(1) as parsing:
            requests = [RawRequest(body=json.dumps({"q": text}).encode()) for text in dict.fromkeys(toy_sentences[:12])]
            answers = [
                asyncio.ensure_future(answer_with(batcher, predictor, raw, parse_in=parsing)) for raw in requests
            ]
            # Two are computed and four wait.
            while sum(answer.done() for answer in answers) < len(answers) - 6:
                await asyncio.sleep(0.001)
            may_go.set()
            return await asyncio.gather(*answers)

    replies = asyncio.run(asyncio.wait_for(scene(), 30))
    refused = [reply for reply in replies if reply.status != 200]
    assert {(reply.status, reply.body["code"]) for reply in refused} == {(503, "overloaded")}
    assert len(replies) - len(refused) == 6


def test_a_body_is_given_up_while_its_items_wait(predictor):
    may_go, task = threading.Event(), predictor.task

    def held(items: list[Any], *, on_outcome: Any) -> list[Any]:
        assert may_go.wait(20)
        return predictor.computing.batch(items)

    async def scene() -> None:
        batcher = MicroBatcher(held, batch_key=task.batch_key, size=task.size, capacity=Capacity())
        room = BodyRoom(100)
        body = json.dumps({"q": "a"}).encode()
        with ThreadPoolExecutor(1) as parsing:

            def answered() -> tuple[weakref.ref[RawRequest], asyncio.Future[Reply]]:
                room.take(len(body))
                raw = room.give_back_with(RawRequest(body=body))
                answering = answer_with(batcher, predictor, raw, parse_in=parsing)
                return weakref.ref(raw), asyncio.ensure_future(answering)

            raw, answering = answered()
            assert room.taken == len(body)
            while raw():
                await asyncio.sleep(0.001)
            assert not answering.done()
            assert room.taken == 0
            may_go.set()
            assert (await answering).status == 200
        await batcher.close()

    asyncio.run(asyncio.wait_for(scene(), 30))


def test_bodies_beyond_the_room_for_all_are_refused_until_there_is_room():
    async def body_of(*sizes: int) -> AsyncIterator[bytes]:
        for size in sizes:
            yield b"a" * size

    async def scene() -> None:
        room = BodyRoom(10)
        first = await read_body(body_of(3, 4), "7", 8, room)
        with pytest.raises(UnavailableError, match="bodies of 10 bytes together wait to be read") as refused:
            await read_body(body_of(2, 2), "4", 8, room)
        assert refused.value.code == "overloaded"
        with pytest.raises(InvalidInput, match="exceeds 8 bytes"):
            await read_body(body_of(2, 7), None, 8, room)
        assert (len(first), room.taken) == (7, 7)
        room.give_back(7)
        assert len(await read_body(body_of(8), "8", 8, room)) == 8

    asyncio.run(scene())


def test_work_for_a_client_that_leaves_is_cancelled():
    async def scene() -> None:
        leaves, was_cancelled = asyncio.Event(), asyncio.Event()

        async def receive() -> dict[str, Any]:
            await leaves.wait()
            return {"type": "http.disconnect"}

        async def work() -> None:
            leaves.set()
            try:
                await asyncio.sleep(60)
            finally:
                was_cancelled.set()

        with pytest.raises(ClientGone):
            await while_connected(receive, work())
        assert was_cancelled.is_set()

    asyncio.run(asyncio.wait_for(scene(), 10))


def test_work_for_a_client_that_stays_gives_its_answer_or_its_error():
    async def stays() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    async def good() -> str:
        return "answer"

    async def bad() -> str:
        raise ValueError("bad")

    assert asyncio.run(while_connected(stays, good())) == "answer"
    with pytest.raises(ValueError, match="bad"):
        asyncio.run(while_connected(stays, bad()))


def test_a_framework_sees_no_content_type_and_its_errors_get_the_form_of_the_contract():
    seen: list[Any] = []

    async def framework(scope, receive, send):
        seen.append((scope["headers"], scope[CONTENT_TYPE_KEY]))
        headers = [(b"content-type", b"text/plain"), (b"allow", b"POST")]
        await send({"type": "http.response.start", "status": 405, "headers": headers})
        await send({"type": "http.response.body", "body": b"Method Not Allowed"})

    sent: list[Any] = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request"}

    headers = [(b"host", b"x"), (b"content-type", b"application/vnd.bentoml+pickle")]
    scope = {"type": "http", "method": "GET", "path": "/translate", "headers": headers}
    asyncio.run(ContractMiddleware(framework)(scope, receive, send))
    assert seen == [([(b"host", b"x")], "application/vnd.bentoml+pickle")]
    start, body = sent
    assert (start["status"], dict(start["headers"])[b"allow"]) == (405, b"POST")
    assert json.loads(body["body"])["code"] == "method_not_allowed"
    assert dict(start["headers"])[b"content-length"] == str(len(body["body"])).encode()


def served(framework, path: str = "/translate") -> tuple[int, dict[str, Any]]:
    """Return the status and the body of a request that a framework answers behind the middleware."""
    sent: list[Any] = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request"}

    scope = {"type": "http", "method": "POST", "path": path, "headers": []}
    asyncio.run(ContractMiddleware(framework)(scope, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"])


def framework_that_answers(status: int, body: bytes, *, as_ours: bool = False):
    async def framework(scope, receive, send):
        if as_ours:
            # As frameworks do: what is written into a copy must be seen in the original.
            mark_answered(dict(scope))
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return framework


@pytest.mark.parametrize(("status", "code"), [(500, "internal_error"), (400, "invalid_input"), (503, "not_ready")])
def test_an_error_that_a_framework_writes_as_json_gets_the_form_of_the_contract(status, code):
    found, body = served(framework_that_answers(status, b'{"error": "An unexpected error"}'))
    assert (found, body["code"]) == (status, code)


def test_an_error_of_the_contract_is_left_as_it_is():
    ours = b'{"error": "q is empty", "code": "invalid_input", "field": "q"}'
    assert served(framework_that_answers(400, ours, as_ours=True)) == (400, json.loads(ours))


def test_a_framework_that_raises_is_answered_for():
    async def framework(scope, receive, send):
        raise RuntimeError("nobody foresaw it")

    status, body = served(framework)
    assert (status, body["code"]) == (500, "internal_error")
