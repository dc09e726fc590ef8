"""A load test of one server: started, loaded in every planned way, stopped; all figures in one tree."""

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers.base import Peer, RunningPeer
from benchmarks.serving.load_figures import first_outputs, load_figures
from benchmarks.serving.load_generator import Answer, Load, Stream, StreamAnswers, Traffic
from benchmarks.serving.resources import OtherLoad, peak_memory
from benchmarks.serving.workloads import Item, Workloads
from deploy.run.commands import StepFailedError, run_quietly
from deploy.run.server_process import ServerProcess
from dragoman.errors import UnavailableError

# The number of clients at which servers are compared, and at which every item of the test set is asked for.
COMPARED_CLIENTS = 32
WARM_UP_SHARE = 0.2
# Short items come at this share of the server's capacity for items of the test set; long ones come as often as makes
# them the same share again. Together they stay well below capacity: a short item that waits does so behind a long one.
MIXED_SHARE = 0.3

Figures = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class LoadPlan:
    """The loads of each test, and how often each server is tested.

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
        """The number of loads of one test."""
        return len(self.clients) + len(self.open_shares) + self.other + 2 * self.mixed


FULL = LoadPlan(
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
QUICK = LoadPlan(
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
class LoadTestResult:
    """The figures, and the output of each item of the test set that was asked for."""

    figures: Figures
    outputs: dict[int, Any] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class LoadTest:
    """A load test by one plan, with the same requests for all servers; ``count`` is an output's size in tokens."""

    plan: LoadPlan
    workloads: Workloads
    count: Callable[[Any], int] | None
    logs: Path
    report: Callable[[str, Figures], None]

    def run(self, peer: Peer, number: int) -> LoadTestResult:
        """Start the server, load it, stop it; ``number`` counts the rounds from 0.

        Raises DragomanError with the end of the server's log when it fails.
        """
        log = self.logs / f"{peer.name.replace(' ', '-').replace(',', '')}-{number}.log"
        others, began = OtherLoad(), time.monotonic()
        running = peer.start(log)
        with running.process, _log_in_errors(running.process):
            _check_first_answer(running.url, peer, self.workloads.items[0])
            start_s = round(time.monotonic() - began, 2)
            loads = _Loads(self, peer, running, number)
            warm_up = Stream(name="warm-up", bodies=loads.bodies, clients=8)
            loads.send(warm_up, seconds=WARM_UP_SHARE * self.plan.seconds)
            figures: Figures = {"start_s": start_s, **loads.measure()}
            figures["memory"] = asdict(peak_memory(running.process.pid))
            figures["others_cores"] = others.cores(running.process.pid)
        return LoadTestResult(figures=figures, outputs=loads.outputs)


class _Loads:
    """The loads of one test."""

    def __init__(self, test: LoadTest, peer: Peer, running: RunningPeer, number: int) -> None:
        self._test, self._peer, self._running, self._number = test, peer, running, number
        self.bodies = self._bodies(test.workloads.items)
        self.outputs: dict[int, Any] = {}

    def measure(self) -> Figures:
        """Measure everything in the plan."""
        plan, work = self._test.plan, self._test.workloads
        closed = {str(clients): self._closed_loop(clients) for clients in plan.clients}
        found: Figures = {"closed": closed}
        if plan.other:
            other = Stream(name="other", bodies=self._bodies(work.other), clients=COMPARED_CLIENTS)
            found["other"] = self._measured("other items", other)
        capacity = max(figures["requests_per_s"] for figures in closed.values())
        if not capacity:
            raise UnavailableError(f"no request was answered: {next(iter(closed.values()))['error']}")
        found["open"] = {}
        for share in plan.open_shares:
            stream = Stream(name="items", bodies=self.bodies, rate=share * capacity)
            found["open"][str(share)] = self._measured(f"open loop at {share:.0%}", stream)
        if plan.mixed:
            rate, seconds = MIXED_SHARE * capacity, 2 * plan.seconds
            short = Stream(name="short", bodies=self._bodies(work.short), rate=rate)
            long = Stream(name="long", bodies=self._bodies(work.long), rate=rate * work.cost / work.long_cost)
            alone = self._measured("short items", short, seconds=seconds)
            _, both = self.send(short, long, seconds=seconds)
            beside = self._reported("short items beside long ones", both["short"])
            found["mixed"] = {"alone": alone, "beside_long": beside, "long": both["long"]}
        return found

    def _closed_loop(self, clients: int) -> Figures:
        label = f"{clients} clients" if clients > 1 else "1 client"
        if clients != COMPARED_CLIENTS:
            return self._measured(label, Stream(name="items", bodies=self.bodies, clients=clients))
        # Each round asks for its part of the scored items, so that all rounds together have asked for all of them.
        plan = self._test.plan
        scored = self.bodies[: plan.items]
        begin, end = (len(scored) * number // plan.rounds for number in (self._number, self._number + 1))
        bodies = scored[begin:end]
        stream = Stream(name="items", bodies=bodies, clients=clients, at_least=len(bodies))
        answered, figures = self.send(stream)
        for index, output in first_outputs(answered, self._peer.exchange.output).items():
            self.outputs[begin + index] = output
        return self._reported(label, figures["items"])

    def _measured(self, label: str, stream: Stream, *, seconds: float | None = None) -> Figures:
        _, figures = self.send(stream, seconds=seconds)
        return self._reported(label, figures[stream.name])

    def _reported(self, label: str, figures: Figures) -> Figures:
        self._test.report(label, figures)
        return figures

    def send(
        self, *streams: Stream, seconds: float | None = None
    ) -> tuple[Sequence[StreamAnswers], dict[str, Figures]]:
        """Send streams at once, from a process of its own; gives the answers, and the figures by stream."""
        load = Load(
            url=self._running.url,
            content_type=self._peer.exchange.content_type,
            streams=streams,
            ramp_s=self._test.plan.ramp_s,
            seconds=seconds or self._test.plan.seconds,
            # Other arrival times in each round, the same for all servers.
            seed=self._number,
        )
        answered = run_quietly("benchmarks.serving.load_generator", given=load.to_json())
        traffic = Traffic.from_json(answered.output)
        figures: Figures = {}
        for stream in traffic.streams:
            found = load_figures(stream, None if self._test.count is None else self._target_tokens)
            figures[stream.name] = {**asdict(found), "client_cores": round(traffic.client_cores, 3)}
        return traffic.streams, figures

    def _bodies(self, items: Sequence[Item]) -> tuple[bytes, ...]:
        return tuple(map(self._peer.exchange.body, items))

    def _target_tokens(self, answer: Answer) -> int:
        assert self._test.count is not None
        return self._test.count(self._peer.exchange.output(answer.text))


def _check_first_answer(url: str, peer: Peer, item: Item) -> None:
    """Ask for one output: a server that calls itself ready and cannot answer is not ready."""
    exchange = peer.exchange
    headers = {"Content-Type": exchange.content_type}
    request = urllib.request.Request(url, data=exchange.body(item), headers=headers, method="POST")
    # No proxy of the environment stands between two processes of one machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as response:
            exchange.output(response.read().decode("utf-8"))
    except (urllib.error.URLError, TimeoutError, ValueError) as error:
        raise UnavailableError(f"{peer.name} does not answer its first request: {error}") from error


@contextmanager
def _log_in_errors(process: ServerProcess) -> Iterator[None]:
    """Add the end of the server's log to every error of its load test."""
    try:
        yield
    except (UnavailableError, StepFailedError) as error:
        raise UnavailableError(f"{error}; the end of {process.log}:\n{process.log_tail()}") from error
    except (ValueError, KeyError) as error:
        message = f"an answer with status 200 holds no output: {error!r}"
        raise UnavailableError(f"{message}; the end of {process.log}:\n{process.log_tail()}") from error
