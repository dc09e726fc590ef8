"""Facts about the processor that engines need: the share that this process may use, and the model."""

import math
import os
import platform
from pathlib import Path

# Folder of the limits of processor time, in versions 2 and 1 of control groups, and file with this process's group.
CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
CPU_INFO = Path("/proc/cpuinfo")
# The fields that are the same at each start, on x86 and on ARM; the frequency of the moment is not.
PROCESSOR_FIELDS = (
    *("vendor_id", "cpu family", "model", "model name", "stepping", "microcode", "flags"),
    *("cpu implementer", "cpu architecture", "cpu variant", "cpu part", "cpu revision", "features"),
)
KERNEL_SETTINGS = ("CT2_", "DNNL_", "MKL_", "ONEDNN_", "OPENBLAS_")


def usable_cores(cgroups: Path = CGROUPS, own: Path = OWN_CGROUP) -> int:
    """Count the cores this process may keep busy: those of its affinity, or fewer where its group has a quota."""
    # Not there on macOS and Windows, where a process may run anywhere.
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, math.ceil(min([cores, *map(_quota, _groups(cgroups, own))])))


def _groups(cgroups: Path, own: Path) -> list[Path]:
    """List the folders whose limits hold for this process: of its control group, if visible, and of all above."""
    try:
        path = own.read_text(encoding="utf-8").partition("0::/")[2].partition("\n")[0]
    except OSError:
        path = ""
    group = cgroups / path
    return [folder for folder in (group, *group.parents) if folder.is_relative_to(cgroups)]


def _quota(group: Path) -> float:
    """Return the cores' worth of time that a control group may use, infinite without a limit."""
    try:
        both = group / "cpu.max"
        if both.exists():
            quota, period = both.read_text(encoding="ascii").split()
        else:
            quota, period = ((group / "cpu" / f"cpu.cfs_{name}_us").read_text("ascii") for name in ("quota", "period"))
        # "max" and -1 mean no limit.
        return int(quota) / int(period) if quota != "max" and int(quota) > 0 else math.inf
    except (OSError, ValueError):
        return math.inf


def processor(cpu_info: Path = CPU_INFO) -> dict[str, str]:
    """Return the properties by which libraries choose their kernels: model, stepping, flags."""
    try:
        lines = cpu_info.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0].splitlines()
    except OSError:
        # macOS and Windows have no such file.
        return {"machine": platform.machine(), "processor": platform.processor()}
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return {"machine": platform.machine(), **{name: fields[name] for name in PROCESSOR_FIELDS if name in fields}}


def kernel_settings() -> dict[str, str]:
    """Return the environment variables by which the libraries under the engines choose their kernels."""
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith(KERNEL_SETTINGS)}
