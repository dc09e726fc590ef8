"""Workers are idle when they compute next to nothing, however often they look at something."""

from types import SimpleNamespace

import pytest

from deploy.torchserve import server
from deploy.torchserve.server import QUIET_S, wait_until_idle


class Clock:
    """A simulated clock, on which pauses take no real time."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def looking(self) -> float:
        """Give the processor time of a worker that computes for 10 of every 210 milliseconds."""
        return 0.01 * (self.now // 0.21) + min(self.now % 0.21, 0.01)

    def finishing(self) -> float:
        """Give the processor time of a worker that computes for a second, and then no more."""
        return min(self.now, 1.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(server, "time", SimpleNamespace(monotonic=made.monotonic, sleep=made.sleep))
    return made


def test_a_worker_that_looks_at_something_again_and_again_is_idle(clock: Clock) -> None:
    assert wait_until_idle(clock.looking, within_s=20)
    assert clock.now < 5 * QUIET_S


def test_a_worker_that_computes_is_not(clock: Clock) -> None:
    assert not wait_until_idle(clock.monotonic, within_s=2 * QUIET_S)
    # One that gets a quarter of a processor computes too.
    assert not wait_until_idle(lambda: clock.now / 4, within_s=20)


def test_a_worker_is_idle_once_it_has_finished(clock: Clock) -> None:
    assert wait_until_idle(clock.finishing, within_s=20)
    assert clock.finishing() > 0.9


def test_while_requests_wait_nothing_is_idle(clock: Clock) -> None:
    assert not wait_until_idle(lambda: None, within_s=0.3)
