"""A client that sends requests to a server and notes when each was due, when it was answered, and with what.

python -m benchmarks.serving.load_generator < LOAD.json > ANSWERS.json

It runs as a process of its own: neither the server nor the evaluation shares its event loop, and its processor time
can be told apart.

    closed loop: each of N clients sends its next request when the last one is answered. It measures capacity, but a
                 slow server also slows the clients down, so it never shows a queue that grows.
    open loop:   requests are due at random times that are fixed beforehand. A request that waits behind a stalled
                 server, or behind this generator, is charged with its whole wait (no "coordinated omission").
"""

import asyncio
import base64
import itertools
import json
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import aiohttp

OK = 200
NO_ANSWER = 0
# A client of a closed loop waits this long after a failure, so that it does not spin on a server that refuses.
PAUSE_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One kind of request, and its arrivals.

    Either ``clients`` work in a closed loop until at least ``at_least`` requests are answered, or ``rate`` requests a
    second, on average, are due in an open loop.
    """

    name: str
    bodies: tuple[bytes, ...]
    clients: int | None = None
    rate: float | None = None
    at_least: int = 0


@dataclass(frozen=True, kw_only=True)
class Load:
    """All streams for one address, sent at once for ``ramp_s`` seconds that do not count and ``seconds`` that do."""

    url: str
    content_type: str
    streams: tuple[Stream, ...]
    ramp_s: float
    seconds: float
    timeout_s: float = 60.0
    seed: int = 0

    @classmethod
    def from_json(cls, text: str) -> "Load":
        """Read what ``to_json`` wrote."""
        fields = json.loads(text)
        streams = []
        for stream in fields.pop("streams"):
            bodies = tuple(map(base64.b64decode, stream.pop("bodies")))
            streams.append(Stream(bodies=bodies, **stream))
        return cls(streams=tuple(streams), **fields)

    def to_json(self) -> str:
        """Write the load as JSON, with bodies in base64."""
        return json.dumps(asdict(self), default=lambda body: base64.b64encode(body).decode())


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The fate of one request; times in seconds since the start. Status 0: no answer came, ``text`` says why."""

    index: int
    due: float
    answered: float
    status: int
    text: str


@dataclass(frozen=True, kw_only=True)
class StreamAnswers:
    """All answers of one stream; the window that counts reaches from ``begin`` to ``end``."""

    name: str
    is_open: bool
    begin: float
    end: float
    answers: tuple[Answer, ...]


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """All answers to a load; ``client_cores`` is the generator's own processor time over the elapsed time."""

    streams: tuple[StreamAnswers, ...]
    client_cores: float

    @classmethod
    def from_json(cls, text: str) -> "Traffic":
        """Read what ``json.dumps(asdict(traffic))`` wrote."""
        fields = json.loads(text)
        streams = []
        for stream in fields["streams"]:
            answers = tuple(Answer(**answer) for answer in stream.pop("answers"))
            streams.append(StreamAnswers(answers=answers, **stream))
        return cls(streams=tuple(streams), client_cores=fields["client_cores"])


async def generate(load: Load) -> Traffic:
    """Send a load and wait for every answer, or its time limit."""
    # No limit on connections: a request that is due must not wait for another one's.
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(load.timeout_s)) as session:
        sender = _Sender(session, load)
        cpu, wall = time.process_time(), time.monotonic()
        streams = await asyncio.gather(*map(sender.run, load.streams))
        cores = (time.process_time() - cpu) / (time.monotonic() - wall)
    return Traffic(streams=tuple(streams), client_cores=cores)


class _Sender:
    """Sends the streams of a load; its clock starts when it is made."""

    def __init__(self, session: aiohttp.ClientSession, load: Load) -> None:
        self._session, self._load = session, load
        self._end = load.ramp_s + load.seconds
        self._headers = {"Content-Type": load.content_type}
        self._clock = asyncio.get_running_loop().time
        self._start = self._clock()

    async def run(self, stream: Stream) -> StreamAnswers:
        if stream.rate is None:
            answers, end = await self._closed_loop(stream)
        else:
            answers, end = await self._open_loop(stream, stream.rate), self._end
        return StreamAnswers(
            name=stream.name,
            is_open=stream.rate is not None,
            begin=self._load.ramp_s,
            end=end,
            answers=tuple(answers),
        )

    async def _closed_loop(self, stream: Stream) -> tuple[list[Answer], float]:
        answers: list[Answer] = []
        numbers = itertools.count()
        last_sent = 0.0

        async def client() -> None:
            nonlocal last_sent
            while self._now() < self._end or len(answers) < stream.at_least:
                last_sent = self._now()
                index = next(numbers) % len(stream.bodies)
                answer = await self._send(index, stream.bodies[index], due=last_sent)
                answers.append(answer)
                if answer.status != OK:
                    await asyncio.sleep(PAUSE_S)

        await asyncio.gather(*(client() for _ in range(stream.clients or 1)))
        # The window ends when the last request is sent: until then every client was at work, after that they fall
        # silent one by one.
        return answers, max(self._end, last_sent)

    async def _open_loop(self, stream: Stream, rate: float) -> list[Answer]:
        sending = []
        for number, due in enumerate(_arrivals(rate, self._end, seed=f"{self._load.seed} {stream.name}")):
            early = due - self._now()
            if early > 0:
                await asyncio.sleep(early)
            index = number % len(stream.bodies)
            sending.append(asyncio.create_task(self._send(index, stream.bodies[index], due=due)))
        return await asyncio.gather(*sending)

    def _now(self) -> float:
        return self._clock() - self._start

    async def _send(self, index: int, body: bytes, *, due: float) -> Answer:
        try:
            async with self._session.post(self._load.url, data=body, headers=self._headers) as response:
                status, text = response.status, await response.text(encoding="utf-8", errors="replace")
        except (aiohttp.ClientError, TimeoutError) as error:
            status, text = NO_ANSWER, f"{type(error).__name__}: {error}"
        return Answer(index=index, due=due, answered=self._now(), status=status, text=text)


def _arrivals(rate: float, end: float, *, seed: str) -> Iterator[float]:
    """Yield the times of a Poisson process before ``end``."""
    chooser = random.Random(seed)
    due = chooser.expovariate(rate)
    while due < end:
        yield due
        due += chooser.expovariate(rate)


def main() -> None:
    """Read a load, send it, and write its answers."""
    load = Load.from_json(sys.stdin.read())
    json.dump(asdict(asyncio.run(generate(load))), sys.stdout)


if __name__ == "__main__":
    main()
