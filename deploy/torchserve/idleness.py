"""When workers have nothing in hand: told by their processor time, for TorchServe does not say it."""

import time
from collections.abc import Callable

from deploy.run.server_process import POLL_S

# For so long workers must be idle: an answer has reached its client then.
QUIET_S = 1.0
# Of a processor, for all workers together. Who computes for the whole of that time takes most of one; a worker that
# looks at a followed directory takes far less, every second and for ever.
IDLE_SHARE = 0.2


def wait_until_idle(time_used: Callable[[], float | None], within_s: float) -> bool:
    """Wait until workers have been idle for ``QUIET_S``; whether that was so within ``within_s`` seconds.

    ``time_used`` is their processor time in seconds so far; None while requests wait, or when there is no telling.
    """
    started = since = time.monotonic()
    before = time_used()
    while (now := time.monotonic()) < started + within_s:
        used = time_used()
        if before is None or used is None or used - before > IDLE_SHARE * QUIET_S:
            since, before = now, used
        elif now - since >= QUIET_S:
            return True
        time.sleep(POLL_S)
    return False
