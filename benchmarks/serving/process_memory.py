"""The peak memory of a server's processes, as the kernel keeps it: nothing is sampled, so no peak is missed."""

from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, kw_only=True)
class PeakMemory:
    """Peak resident memory in MB: of the largest process, and of all together, counting shared pages in each."""

    largest_mb: float
    total_mb: float
    processes: int


def peak_memory(pid: int) -> PeakMemory:
    """The peaks of a process and of all its descendants that are alive."""
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
    # A zombie has no memory left.
    return int(fields.get("VmHWM", "0 kB").split()[0]) * 1024 / 1e6
