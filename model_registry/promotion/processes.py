"""Which process wrote something, and whether it is known to have ended."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import psutil


def this_process() -> dict[str, Any]:
    """What others recognise this process by."""
    return {"machine": _machine(), "pid": os.getpid(), "started": psutil.Process().create_time()}


def is_dead(written: str) -> bool:
    """Whether JSON names a process of this machine that has ended; false where that cannot be known."""
    try:
        process = json.loads(written)
        if process["machine"] != _machine():
            return False
        found = psutil.Process(process["pid"])
        # Another start time is another process under the same number.
        return abs(found.create_time() - process["started"]) > 1 or found.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except (ValueError, TypeError, KeyError, psutil.Error):
        return False


def _machine() -> str:
    """What tells apart machines and containers, each of which has process numbers of its own."""
    parts = [socket.gethostname()]
    boot = Path("/proc/sys/kernel/random/boot_id")
    if boot.exists():
        parts.append(boot.read_text(encoding="ascii").strip())
    namespace = Path("/proc/self/ns/pid")
    if namespace.exists():
        parts.append(str(namespace.stat().st_ino))
    return "/".join(parts)
