"""The load generator against real servers that are slow in known ways."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict

import pytest
from aiohttp import web

from benchmarks.serving.load_figures import first_outputs, load_figures
from benchmarks.serving.load_generator import Load, Stream, StreamAnswers, Traffic, generate

Handler = Callable[[web.Request], Awaitable[web.Response]]


class StallingServer:
    """A server that answers after ``delay_s``, but not from ``stall[0]`` to ``stall[1]`` s after its first request."""

    def __init__(self, *, delay_s: float, stall: tuple[float, float] = (0.0, 0.0)) -> None:
        self._delay_s, self._stall = delay_s, stall
        self._first: float | None = None
        self.in_flight, self.most_in_flight = 0, 0
        self.arrivals: list[float] = []

    async def answer(self, request: web.Request) -> web.Response:
        clock = asyncio.get_running_loop().time
        now = clock()
        self._first = now if self._first is None else self._first
        self.arrivals.append(now - self._first)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        text = await request.text()
        await asyncio.sleep(self._delay_s)
        if self._stall[0] <= self.arrivals[-1] < self._stall[1]:
            await asyncio.sleep(self._stall[1] - (clock() - self._first))
        self.in_flight -= 1
        return web.Response(text=text.upper())


@asynccontextmanager
async def _serving(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        yield f"http://127.0.0.1:{port}/"
    finally:
        await runner.cleanup()


def _traffic(handler: Handler, *streams: Stream, seconds: float = 1.0, timeout_s: float = 5.0) -> Traffic:
    async def send() -> Traffic:
        async with _serving(handler) as url:
            load = Load(
                url=url, content_type="text/plain", streams=streams, ramp_s=0.2, seconds=seconds, timeout_s=timeout_s
            )
            # As between the processes.
            return await generate(Load.from_json(load.to_json()))

    return Traffic.from_json(json.dumps(asdict(asyncio.run(send()))))


def _only(traffic: Traffic) -> StreamAnswers:
    (stream,) = traffic.streams
    return stream


def test_a_closed_loop_never_has_more_requests_in_flight_than_clients() -> None:
    server = StallingServer(delay_s=0.05)

    answered = _only(_traffic(server.answer, Stream(name="s", bodies=(b"a", b"b", b"c"), clients=4)))

    assert server.most_in_flight == 4
    figures = load_figures(answered, lambda answer: len(answer.text))
    # Four clients, each answered about 20 times a second; a slow machine may only make it fewer.
    assert 20 < figures.requests_per_s <= 80
    assert figures.target_tokens_per_s == pytest.approx(figures.requests_per_s, abs=0.1)
    assert figures.p50_ms is not None
    assert figures.p50_ms >= 50


def test_a_closed_loop_goes_on_until_every_text_has_its_translation() -> None:
    server = StallingServer(delay_s=0.02)
    texts = [f"text {number}" for number in range(150)]
    bodies = tuple(text.encode() for text in texts)

    answered = _only(_traffic(server.answer, Stream(name="s", bodies=bodies, clients=2, at_least=150), seconds=0.1))

    assert first_outputs([answered], str.lower) == dict(enumerate(texts))
    assert answered.end > 0.3


def test_an_open_loop_does_not_slow_down_when_the_server_stalls() -> None:
    stalling, steady = StallingServer(delay_s=0.0, stall=(0.3, 0.9)), StallingServer(delay_s=0.0)
    stream = Stream(name="s", bodies=(b"a",), rate=100.0)

    stalled = _only(_traffic(stalling.answer, stream))
    _traffic(steady.answer, stream)

    # The same times of arrival, whatever the server does.
    assert len(stalling.arrivals) == len(steady.arrivals)
    during = [arrival for arrival in stalling.arrivals if 0.3 <= arrival < 0.9]
    assert len(during) > 30
    waited = [answer.answered - answer.due for answer in stalled.answers if 0.45 <= answer.due < 0.55]
    assert waited
    # Every one of them, not only the first, is charged with the rest of the stall.
    assert min(waited) > 0.25


def test_latency_counts_from_when_a_request_was_due_and_not_from_when_it_was_sent() -> None:
    async def block(request: web.Request) -> web.Response:
        # Server and generator share this event loop, so the generator is late as well.
        time.sleep(0.1)
        return web.Response(text=await request.text())

    answered = _only(_traffic(block, Stream(name="s", bodies=(b"a",), rate=20.0), seconds=0.8))

    # Twice as many arrive as can be answered: the last ones wait for all others.
    assert max(answer.answered - answer.due for answer in answered.answers) > 0.5


def test_arrivals_are_random_and_the_same_in_every_run() -> None:
    server = StallingServer(delay_s=0.0)
    stream = Stream(name="s", bodies=(b"a",), rate=200.0)

    first = [answer.due for answer in _only(_traffic(server.answer, stream, seconds=0.8)).answers]
    second = [answer.due for answer in _only(_traffic(server.answer, stream, seconds=0.8)).answers]

    assert first == second
    gaps = [later - earlier for earlier, later in itertools.pairwise(first)]
    assert min(gaps) < 0.002
    assert max(gaps) > 0.01


def test_streams_run_side_by_side() -> None:
    server = StallingServer(delay_s=0.01)

    traffic = _traffic(
        server.answer,
        Stream(name="short", bodies=(b"a",), rate=50.0),
        Stream(name="long", bodies=(b"b",), clients=2),
        seconds=0.5,
    )

    assert {stream.name: {answer.text for answer in stream.answers} for stream in traffic.streams} == {
        "short": {"A"},
        "long": {"B"},
    }


def test_what_is_not_a_translation_is_an_error_and_not_fast() -> None:
    async def refuse(request: web.Request) -> web.Response:
        if await request.text() == "never":
            await asyncio.sleep(0.8)
        return web.Response(status=503, text="overloaded")

    traffic = _traffic(
        refuse,
        Stream(name="refused", bodies=(b"a",), clients=1),
        Stream(name="unanswered", bodies=(b"never",), clients=1),
        seconds=0.6,
        timeout_s=0.3,
    )

    refused, unanswered = (load_figures(stream, lambda answer: 1) for stream in traffic.streams)
    assert (refused.requests_per_s, refused.p50_ms, refused.error) == (0.0, None, "503: overloaded")
    assert refused.errors == refused.answers > 1
    assert unanswered.error is not None
    assert unanswered.error.startswith("0: TimeoutError")
