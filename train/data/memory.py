"""Memory that a corpus takes: told, and asked for, before it is taken."""

from pathlib import Path

from dragoman.errors import DataError

FREE, LIMIT_OF_CONTAINER = Path("/proc/meminfo"), Path("/sys/fs/cgroup/memory.max")


def require_memory(needed: int, what: str, *, instead: str) -> None:
    """Raise DataError where so many bytes are not free; a system that does not say is taken to have them."""
    try:
        lines = FREE.read_text(encoding="ascii").splitlines()
        free = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
        # What a container uses already counts its file cache as well, so only the whole of its limit is certain.
        limit = LIMIT_OF_CONTAINER.read_text(encoding="ascii").strip() if LIMIT_OF_CONTAINER.exists() else "max"
        free = free if limit == "max" else min(free, int(limit))
    except (OSError, ValueError, StopIteration):
        return
    if needed > free:
        raise DataError(f"{what} take {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free; {instead}")
