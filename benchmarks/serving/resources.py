"""The processor time and the memory that a server's processes use, and the load of everything else on the machine."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import psutil


class OtherLoad:
    """Processor time of foreign processes since this was made: a figure taken beside much of it is worth little."""

    def __init__(self) -> None:
        self._began, self._busy, self._own = time.monotonic(), _machine_s(), _own_s()

    def cores(self, pid: int) -> float:
        """Return how many cores others used: neither this process, nor the server ``pid``, nor their children.

        The server must have been started since this was made.
        """
        server = psutil.Process(pid)
        used = _own_s() - self._own + sum(map(_process_s, [server, *server.children(recursive=True)]))
        return round(max(0.0, (_machine_s() - self._busy - used) / (time.monotonic() - self._began)), 2)


def _machine_s() -> float:
    times = psutil.cpu_times()
    # What a hypervisor took away ("steal") counts as others' use as well.
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def _own_s() -> float:
    # Of the children only those that have ended count here: the load generators, and not yet the server.
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _process_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


@dataclass(frozen=True, kw_only=True)
class PeakMemory:
    """Peak resident memory in MB: of the largest process, and of all together, counting shared pages in each."""

    largest_mb: float
    total_mb: float
    processes: int


def peak_memory(pid: int) -> PeakMemory:
    """Return the peaks of a process and its living descendants; the kernel keeps them, so none is missed."""
    parent = psutil.Process(pid)
    peaks = [_peak_mb(process.pid) for process in [parent, *parent.children(recursive=True)]]
    return PeakMemory(
        largest_mb=round(max(peaks), 1), total_mb=round(sum(peaks), 1), processes=sum(peak > 0 for peak in peaks)
    )


def _peak_mb(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except FileNotFoundError:
        # It has ended since it was listed.
        return 0.0
    fields = dict(line.split(":", 1) for line in status.splitlines())
    # A zombie has no VmHWM.
    return int(fields.get("VmHWM", "0 kB").split()[0]) * 1024 / 1e6
