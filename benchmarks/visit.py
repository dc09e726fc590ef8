"""A visit to one server: started, loaded in every way that is asked for, stopped; all figures in one tree."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.load_figures import first_texts, load_figures
from benchmarks.load_generator import Answer, Answered, Load, Stream, Traffic
from benchmarks.other_load import OtherLoad
from benchmarks.peers import ROOT, Peer, RunningPeer
from benchmarks.process_memory import peak_memory
from benchmarks.translation.workloads import DOCUMENT_WORDS, Workloads
from deploy.server_process import ServerProcess
from dragoman.errors import UnavailableError
from dragoman.tokenizer import Tokenizer

# The number of clients at which servers are compared, and at which every sentence of the test set is translated.
COMPARED_CLIENTS = 32
WARM_UP_SHARE = 0.2
# Sentences of five words come at this share of what the server can do with whole captions, which have about twelve
# words; documents come as often as makes them the same share again.
MIXED_SHARE = 0.3
WORDS_PER_SENTENCE = 12

Figures = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured at each visit, and how often each server is visited.

    ``sentences`` of the test set are scored, and ``alone`` of them are translated one at a time for the limits.
    """

    rounds: int
    ramp_s: float
    seconds: float
    sentences: int
    alone: int
    clients: tuple[int, ...]
    open_shares: tuple[float, ...]
    news: bool
    mixed: bool
    all_peers: bool

    @property
    def phases(self) -> int:
        """How many loads a visit has."""
        return len(self.clients) + len(self.open_shares) + self.news + 2 * self.mixed


FULL = Plan(
    rounds=3,
    ramp_s=3.0,
    seconds=10.0,
    sentences=1_000,
    alone=100,
    clients=(1, 8, 32, 64),
    open_shares=(0.2, 0.4, 0.6, 0.8),
    news=True,
    mixed=True,
    all_peers=True,
)
QUICK = Plan(
    rounds=1,
    ramp_s=1.0,
    seconds=4.0,
    sentences=64,
    alone=20,
    clients=(1, 32),
    open_shares=(0.8,),
    news=False,
    mixed=False,
    all_peers=False,
)


@dataclass(frozen=True, kw_only=True)
class Visit:
    """What was measured, and the translation of each sentence of the test set that was asked for."""

    figures: Figures
    texts: dict[int, str] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Visitor:
    """Measures servers by one plan, with the same requests for all of them."""

    plan: Plan
    workloads: Workloads
    tokenizer: Tokenizer
    logs: Path
    report: Callable[[str, Figures], None]

    def visit(self, peer: Peer, number: int) -> Visit:
        """Start the server, load it, stop it; ``number`` counts the rounds from 0.

        Raises DragomanError with the end of the server's log when it fails.
        """
        log = self.logs / f"{peer.name.replace(' ', '-').replace(',', '')}-{number}.log"
        others, began = OtherLoad(), time.monotonic()
        running = peer.start(log)
        with running.process, _told_with(running.process):
            _first_answer(running.url, peer, self.workloads.sentences[0])
            start_s = round(time.monotonic() - began, 2)
            loads = _Loads(self, peer, running, number)
            warm_up = Stream(name="warm-up", bodies=loads.bodies, clients=8)
            loads.run("warm-up", [warm_up], seconds=WARM_UP_SHARE * self.plan.seconds)
            figures: Figures = {"start_s": start_s, **loads.measure()}
            figures["memory"] = asdict(peak_memory(running.process.pid))
            figures["others_cores"] = others.cores(running.process.pid)
        return Visit(figures=figures, texts=loads.texts)


class _Loads:
    """The loads of one visit."""

    def __init__(self, visitor: Visitor, peer: Peer, running: RunningPeer, number: int) -> None:
        self._visitor, self._peer, self._running, self._number = visitor, peer, running, number
        self._plan, self._workloads = visitor.plan, visitor.workloads
        self.bodies = self._bodies(self._workloads.sentences)
        self.texts: dict[int, str] = {}

    def measure(self) -> Figures:
        """All figures of the plan."""
        closed = {str(clients): self._closed_loop(clients) for clients in self._plan.clients}
        found: Figures = {"closed": closed}
        if self._plan.news:
            news = self._bodies(self._workloads.news)
            found["news"] = self._one("news", Stream(name="news", bodies=news, clients=COMPARED_CLIENTS))
        capacity = max(figures["requests_per_s"] for figures in closed.values())
        if not capacity:
            raise UnavailableError(f"no request was answered: {next(iter(closed.values()))['error']}")
        found["open"] = {
            str(share): self._one(
                f"open loop at {share:.0%}", Stream(name="sentences", bodies=self.bodies, rate=share * capacity)
            )
            for share in self._plan.open_shares
        }
        if self._plan.mixed:
            found["mixed"] = self._mixed(capacity)
        return found

    def _closed_loop(self, clients: int) -> Figures:
        label = f"{clients} clients" if clients > 1 else "1 client"
        if clients != COMPARED_CLIENTS:
            return self._one(label, Stream(name="sentences", bodies=self.bodies, clients=clients))
        # Each round translates its part of what is scored, so that all rounds together have translated the whole.
        scored = self.bodies[: self._plan.sentences]
        begin, end = (len(scored) * number // self._plan.rounds for number in (self._number, self._number + 1))
        bodies = scored[begin:end]
        stream = Stream(name="sentences", bodies=bodies, clients=clients, at_least=len(bodies))
        (answered,), figures = self.run(label, [stream])
        texts = first_texts([answered], self._peer.translation)
        self.texts.update({begin + index: text for index, text in texts.items()})
        self._visitor.report(label, figures["sentences"])
        found: Figures = figures["sentences"]
        return found

    def _mixed(self, capacity: float) -> Figures:
        rate = MIXED_SHARE * capacity
        short = Stream(name="short", bodies=self._bodies(self._workloads.short), rate=rate)
        documents = Stream(
            name="documents",
            bodies=self._bodies(self._workloads.documents),
            rate=rate * WORDS_PER_SENTENCE / DOCUMENT_WORDS,
        )
        _, alone = self.run("short sentences", [short], seconds=2 * self._plan.seconds)
        self._visitor.report("short sentences", alone["short"])
        _, both = self.run("short sentences and documents", [short, documents], seconds=2 * self._plan.seconds)
        self._visitor.report("short sentences beside documents", both["short"])
        return {"alone": alone["short"], "beside_documents": both["short"], "documents": both["documents"]}

    def _one(self, label: str, stream: Stream) -> Figures:
        _, figures = self.run(label, [stream])
        self._visitor.report(label, figures[stream.name])
        found: Figures = figures[stream.name]
        return found

    def run(
        self, label: str, streams: Sequence[Stream], *, seconds: float | None = None
    ) -> tuple[Sequence[Answered], Figures]:
        """Send streams at once, from a process of its own; gives the answers, and the figures by stream."""
        load = Load(
            url=self._running.url,
            content_type=self._peer.content_type,
            streams=tuple(streams),
            ramp_s=self._plan.ramp_s,
            seconds=seconds or self._plan.seconds,
            # Other requests at other times in each round, the same for all servers.
            seed=self._number,
        )
        traffic = _generated(load, label)
        figures = {stream.name: load_figures(stream, self._target_tokens) for stream in traffic.streams}
        cores = round(traffic.client_cores, 3)
        return traffic.streams, {name: {**asdict(one), "client_cores": cores} for name, one in figures.items()}

    def _bodies(self, texts: Sequence[str]) -> tuple[str, ...]:
        return tuple(self._peer.body(text) for text in texts)

    def _target_tokens(self, answer: Answer) -> int:
        return len(self._visitor.tokenizer.encode(self._peer.translation(answer.text)))


def _generated(load: Load, label: str) -> Traffic:
    command = [sys.executable, "-m", "benchmarks.load_generator"]
    done = subprocess.run(
        command, cwd=ROOT, input=json.dumps(asdict(load)), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UnavailableError(f"the load generator failed at {label}: {done.stderr[-1000:]}")
    return Traffic.from_json(done.stdout)


def _first_answer(url: str, peer: Peer, text: str) -> None:
    """Ask for one translation: what calls itself ready and cannot answer is not ready."""
    request = urllib.request.Request(
        url, data=peer.body(text).encode("utf-8"), headers={"Content-Type": peer.content_type}, method="POST"
    )
    # No proxy of the environment stands between two processes of one machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as response:
            peer.translation(response.read().decode("utf-8"))
    except (urllib.error.URLError, TimeoutError, ValueError) as error:
        raise UnavailableError(f"{peer.name} does not answer its first request: {error}") from error


@contextmanager
def _told_with(process: ServerProcess) -> Iterator[None]:
    """Add the end of the server's log to what goes wrong while it runs."""
    try:
        yield
    except UnavailableError as error:
        raise UnavailableError(f"{error}; the end of {process.log}:\n{process.log_tail()}") from error
    except (ValueError, KeyError) as error:
        message = f"an answer with status 200 is no translation: {error!r}"
        raise UnavailableError(f"{message}; the end of {process.log}:\n{process.log_tail()}") from error
