"""What the engines need to know of the processor: how much of it is ours, and which matrix kernels it gets."""

import math
import os
from pathlib import Path

# Where limits of processor time are seen, in version 2 and 1 of control groups, and which group this process is in.
CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
CPU_INFO = Path("/proc/cpuinfo")
# What oneDNN 3 asks of a processor before it uses its AVX-512 kernels.
AVX512_FLAGS = {"avx512f", "avx512bw", "avx512vl", "avx512dq"}


def usable_cores(cgroups: Path = CGROUPS, own: Path = OWN_CGROUP) -> int:
    """The cores this process may keep busy: those of its affinity, or fewer where its control group has a quota."""
    # Not there on macOS and Windows, where a process may run anywhere.
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, math.ceil(min([cores, *map(_quota, _groups(cgroups, own))])))


def _groups(cgroups: Path, own: Path) -> list[Path]:
    """The folders whose limits hold for this process: of its control group, if that is seen here, and of all above."""
    try:
        path = own.read_text(encoding="utf-8").partition("0::/")[2].partition("\n")[0]
    except OSError:
        path = ""
    group = cgroups / path
    return [folder for folder in (group, *group.parents) if folder.is_relative_to(cgroups)]


def _quota(group: Path) -> float:
    """How many cores' time a control group may use, infinite without a limit."""
    try:
        if (both := group / "cpu.max").exists():
            quota, period = both.read_text(encoding="ascii").split()
        else:
            quota, period = ((group / "cpu" / f"cpu.cfs_{name}_us").read_text("ascii") for name in ("quota", "period"))
        # "max" and -1 say that there is none.
        return int(quota) / int(period) if quota != "max" and int(quota) > 0 else math.inf
    except (OSError, ValueError):
        return math.inf


def has_onednn_avx512(cpu_info: Path = CPU_INFO) -> bool:
    """Whether CTranslate2 multiplies matrices with oneDNN's AVX-512 kernels here; False where that is not known.

    On Intel's processors it uses MKL, and elsewhere other libraries. ``ONEDNN_MAX_CPU_ISA`` can forbid AVX-512.
    """
    set_to = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or "DEFAULT"
    if os.environ.get("CT2_USE_MKL", "0") != "0" or not set_to.upper().startswith(("DEFAULT", "AVX512", "AVX10")):
        return False
    try:
        lines = cpu_info.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0].splitlines()
    except OSError:
        return False
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return fields.get("vendor_id") == "AuthenticAMD" and set(fields.get("flags", "").split()) >= AVX512_FLAGS
