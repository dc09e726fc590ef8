"""Sends requests to a server and notes when each was due, when it was answered, and with what.

python -m benchmarks.serving.load_generator < LOAD.json > ANSWERS.json

It runs as a process of its own, so that neither the server nor whoever evaluates the answers shares its event loop, and
so that its processor time can be told.
"""

import asyncio
import itertools
import json
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp

OK = 200
NO_ANSWER = 0
# What a client of a closed loop waits after a failure, lest it do nothing but fail.
PAUSE_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One kind of request, and how it arrives.

    Either ``clients`` each send a request when their last one is answered (a closed loop), at least ``at_least`` in
    all; or requests are due at random, ``rate`` a second on average, whatever became of those before (an open loop).
    """

    name: str
    bodies: tuple[str, ...]
    clients: int | None = None
    rate: float | None = None
    at_least: int = 0


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is sent where: all streams at once, for ``ramp_s`` seconds that do not count and ``seconds`` that do."""

    url: str
    content_type: str
    streams: tuple[Stream, ...]
    ramp_s: float
    seconds: float
    timeout_s: float = 60.0
    seed: int = 0

    @classmethod
    def from_json(cls, text: str) -> "Load":
        """Read what ``json.dumps(asdict(load))`` wrote."""
        fields = json.loads(text)
        streams = tuple(Stream(**{**stream, "bodies": tuple(stream["bodies"])}) for stream in fields.pop("streams"))
        return cls(streams=streams, **fields)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of one request; times in seconds since the start. Status 0: no answer came, ``text`` says why."""

    index: int
    due: float
    answered: float
    status: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Answered:
    """All answers of one stream; the window that counts reaches from ``begin`` to ``end``."""

    name: str
    is_open: bool
    begin: float
    end: float
    answers: tuple[Answer, ...]


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What came of a load; ``client_cores`` is the generator's own processor time over the wall's."""

    streams: tuple[Answered, ...]
    client_cores: float

    @classmethod
    def from_json(cls, text: str) -> "Traffic":
        """Read what ``json.dumps(asdict(traffic))`` wrote."""
        fields = json.loads(text)
        streams = [
            Answered(**{**stream, "answers": tuple(Answer(**answer) for answer in stream["answers"])})
            for stream in fields["streams"]
        ]
        return cls(streams=tuple(streams), client_cores=fields["client_cores"])


async def generate(load: Load) -> Traffic:
    """Send a load and wait for every answer, or its time limit."""
    # No limit on connections: a request that is due must not wait for another one's.
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(load.timeout_s)) as session:
        sender = _Sender(session, load)
        cpu, wall = time.process_time(), time.monotonic()
        streams = await asyncio.gather(*(_run(sender, load, stream) for stream in load.streams))
        cores = (time.process_time() - cpu) / (time.monotonic() - wall)
    return Traffic(streams=tuple(streams), client_cores=cores)


class _Sender:
    """Sends single requests; its clock starts when it is made."""

    def __init__(self, session: aiohttp.ClientSession, load: Load) -> None:
        self._session, self._url = session, load.url
        self._headers = {"Content-Type": load.content_type}
        self._clock = asyncio.get_running_loop().time
        self._start = self._clock()

    def now(self) -> float:
        return self._clock() - self._start

    async def send(self, index: int, body: bytes, *, due: float) -> Answer:
        try:
            async with self._session.post(self._url, data=body, headers=self._headers) as response:
                status, text = response.status, await response.text(encoding="utf-8", errors="replace")
        except (aiohttp.ClientError, TimeoutError) as error:
            status, text = NO_ANSWER, f"{type(error).__name__}: {error}"
        return Answer(index=index, due=due, answered=self.now(), status=status, text=text)


async def _run(sender: _Sender, load: Load, stream: Stream) -> Answered:
    if stream.rate is None:
        return await _closed_loop(sender, load, stream)
    return await _open_loop(sender, load, stream, stream.rate)


async def _closed_loop(sender: _Sender, load: Load, stream: Stream) -> Answered:
    bodies = [body.encode("utf-8") for body in stream.bodies]
    answers: list[Answer] = []
    numbers = itertools.count()
    end = load.ramp_s + load.seconds
    last_sent = 0.0

    async def client() -> None:
        nonlocal last_sent
        while sender.now() < end or len(answers) < stream.at_least:
            last_sent = sender.now()
            index = next(numbers) % len(bodies)
            answers.append(await sender.send(index, bodies[index], due=last_sent))
            if answers[-1].status != OK:
                await asyncio.sleep(PAUSE_S)

    await asyncio.gather(*(client() for _ in range(stream.clients or 1)))
    # Until the last request was sent every client was at work; after that they fall silent one by one.
    return Answered(name=stream.name, is_open=False, begin=load.ramp_s, end=max(end, last_sent), answers=tuple(answers))


async def _open_loop(sender: _Sender, load: Load, stream: Stream, rate: float) -> Answered:
    bodies = [body.encode("utf-8") for body in stream.bodies]
    end = load.ramp_s + load.seconds
    sending = []
    for number, due in enumerate(_arrivals(rate, end, seed=f"{load.seed} {stream.name}")):
        if (early := due - sender.now()) > 0:
            await asyncio.sleep(early)
        index = number % len(bodies)
        # Counted from when the request was due: what it waited for this generator is part of what a user waits.
        sending.append(asyncio.create_task(sender.send(index, bodies[index], due=due)))
    answers = await asyncio.gather(*sending)
    return Answered(name=stream.name, is_open=True, begin=load.ramp_s, end=end, answers=tuple(answers))


def _arrivals(rate: float, end: float, *, seed: str) -> Iterator[float]:
    """The times of a Poisson process before ``end``."""
    chooser = random.Random(seed)
    due = chooser.expovariate(rate)
    while due < end:
        yield due
        due += chooser.expovariate(rate)


def main() -> None:
    """Read a load, send it, write what came of it."""
    load = Load.from_json(sys.stdin.read())
    traffic: dict[str, Any] = asdict(asyncio.run(generate(load)))
    json.dump(traffic, sys.stdout)


if __name__ == "__main__":
    main()
