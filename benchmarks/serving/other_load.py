"""How much of the machine others used during a measurement: a figure taken beside much of it is worth little."""

import os
import time

import psutil


class OtherLoad:
    """Counts from when it is made."""

    def __init__(self) -> None:
        self._began, self._busy, self._own = time.monotonic(), _machine_s(), _own_s()

    def cores(self, pid: int) -> float:
        """Cores that neither the process ``pid``, which was started since, nor this one, nor their children used."""
        server = psutil.Process(pid)
        used = _own_s() - self._own + sum(map(_process_s, [server, *server.children(recursive=True)]))
        return round(max(0.0, (_machine_s() - self._busy - used) / (time.monotonic() - self._began)), 2)


def _machine_s() -> float:
    times = psutil.cpu_times()
    # What a hypervisor took away is another's as well.
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def _own_s() -> float:
    # Children that have ended, which the load generators are and the server is not yet.
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _process_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)
