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

from benchmarks.peers.base import ROOT, Peer, RunningPeer
from benchmarks.serving.load_figures import first_outputs, load_figures
from benchmarks.serving.load_generator import Answer, Answered, Load, Stream, Traffic
from benchmarks.serving.other_load import OtherLoad
from benchmarks.serving.process_memory import peak_memory
from benchmarks.serving.workloads import Workloads
from deploy.run.server_process import ServerProcess
from dragoman.errors import UnavailableError

# The number of clients at which servers are compared, and at which every item of the test set is asked for.
COMPARED_CLIENTS = 32
WARM_UP_SHARE = 0.2
# Short items come at this share of what the server can do with those of the test set; long ones come as often as makes
# them the same share again.
MIXED_SHARE = 0.3

Figures = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured at each visit, and how often each server is visited.

    ``items`` of the test set are scored, and ``alone`` of them are asked for one at a time for the limits.
    """

    rounds: int
    ramp_s: float
    seconds: float
    items: int
    alone: int
    clients: tuple[int, ...]
    open_shares: tuple[float, ...]
    other: bool
    mixed: bool
    all_peers: bool

    @property
    def phases(self) -> int:
        """How many loads a visit has."""
        return len(self.clients) + len(self.open_shares) + self.other + 2 * self.mixed


FULL = Plan(
    rounds=3,
    ramp_s=3.0,
    seconds=10.0,
    items=1_000,
    alone=100,
    clients=(1, 8, 32, 64),
    open_shares=(0.2, 0.4, 0.6, 0.8),
    other=True,
    mixed=True,
    all_peers=True,
)
QUICK = Plan(
    rounds=1,
    ramp_s=1.0,
    seconds=4.0,
    items=64,
    alone=20,
    clients=(1, 32),
    open_shares=(0.8,),
    other=False,
    mixed=False,
    all_peers=False,
)


@dataclass(frozen=True, kw_only=True)
class Visit:
    """The figures, and the output of each item of the test set that was asked for."""

    figures: Figures
    outputs: dict[int, str] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Visitor:
    """Measures servers by one plan, with the same requests for all of them; ``count`` is an output's size in tokens."""

    plan: Plan
    workloads: Workloads
    count: Callable[[str], int]
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
            _first_answer(running.url, peer, self.workloads.items[0])
            start_s = round(time.monotonic() - began, 2)
            loads = _Loads(self, peer, running, number)
            warm_up = Stream(name="warm-up", bodies=loads.bodies, clients=8)
            loads.run("warm-up", [warm_up], seconds=WARM_UP_SHARE * self.plan.seconds)
            figures: Figures = {"start_s": start_s, **loads.measure()}
            figures["memory"] = asdict(peak_memory(running.process.pid))
            figures["others_cores"] = others.cores(running.process.pid)
        return Visit(figures=figures, outputs=loads.outputs)


class _Loads:
    """The loads of one visit."""

    def __init__(self, visitor: Visitor, peer: Peer, running: RunningPeer, number: int) -> None:
        self._visitor, self._peer, self._running, self._number = visitor, peer, running, number
        self._plan, self._workloads = visitor.plan, visitor.workloads
        self.bodies = self._bodies(self._workloads.items)
        self.outputs: dict[int, str] = {}

    def measure(self) -> Figures:
        """All figures of the plan."""
        closed = {str(clients): self._closed_loop(clients) for clients in self._plan.clients}
        found: Figures = {"closed": closed}
        if self._plan.other:
            other = self._bodies(self._workloads.other)
            found["other"] = self._one("other items", Stream(name="other", bodies=other, clients=COMPARED_CLIENTS))
        capacity = max(figures["requests_per_s"] for figures in closed.values())
        if not capacity:
            raise UnavailableError(f"no request was answered: {next(iter(closed.values()))['error']}")
        found["open"] = {
            str(share): self._one(
                f"open loop at {share:.0%}", Stream(name="items", bodies=self.bodies, rate=share * capacity)
            )
            for share in self._plan.open_shares
        }
        if self._plan.mixed:
            found["mixed"] = self._mixed(capacity)
        return found

    def _closed_loop(self, clients: int) -> Figures:
        label = f"{clients} clients" if clients > 1 else "1 client"
        if clients != COMPARED_CLIENTS:
            return self._one(label, Stream(name="items", bodies=self.bodies, clients=clients))
        # Each round asks for its part of what is scored, so that all rounds together have asked for the whole.
        scored = self.bodies[: self._plan.items]
        begin, end = (len(scored) * number // self._plan.rounds for number in (self._number, self._number + 1))
        bodies = scored[begin:end]
        stream = Stream(name="items", bodies=bodies, clients=clients, at_least=len(bodies))
        (answered,), figures = self.run(label, [stream])
        outputs = first_outputs([answered], self._peer.output)
        self.outputs.update({begin + index: output for index, output in outputs.items()})
        self._visitor.report(label, figures["items"])
        found: Figures = figures["items"]
        return found

    def _mixed(self, capacity: float) -> Figures:
        rate = MIXED_SHARE * capacity
        short = Stream(name="short", bodies=self._bodies(self._workloads.short), rate=rate)
        long = Stream(
            name="long",
            bodies=self._bodies(self._workloads.long),
            rate=rate * self._workloads.cost / self._workloads.long_cost,
        )
        _, alone = self.run("short items", [short], seconds=2 * self._plan.seconds)
        self._visitor.report("short items", alone["short"])
        _, both = self.run("short and long items", [short, long], seconds=2 * self._plan.seconds)
        self._visitor.report("short items beside long ones", both["short"])
        return {"alone": alone["short"], "beside_long": both["short"], "long": both["long"]}

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

    def _bodies(self, items: Sequence[str]) -> tuple[str, ...]:
        return tuple(self._peer.body(item) for item in items)

    def _target_tokens(self, answer: Answer) -> int:
        return self._visitor.count(self._peer.output(answer.text))


def _generated(load: Load, label: str) -> Traffic:
    command = [sys.executable, "-m", "benchmarks.serving.load_generator"]
    done = subprocess.run(
        command, cwd=ROOT, input=json.dumps(asdict(load)), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UnavailableError(f"the load generator failed at {label}: {done.stderr[-1000:]}")
    return Traffic.from_json(done.stdout)


def _first_answer(url: str, peer: Peer, item: str) -> None:
    """Ask for one output: what calls itself ready and cannot answer is not ready."""
    request = urllib.request.Request(
        url, data=peer.body(item).encode("utf-8"), headers={"Content-Type": peer.content_type}, method="POST"
    )
    # No proxy of the environment stands between two processes of one machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as response:
            peer.output(response.read().decode("utf-8"))
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
        message = f"an answer with status 200 holds no output: {error!r}"
        raise UnavailableError(f"{message}; the end of {process.log}:\n{process.log_tail()}") from error
