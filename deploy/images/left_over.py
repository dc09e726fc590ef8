"""What an image must not hold beyond its base: build tools, caches, and settings of the machine that built it."""

from pathlib import Path

TOOLS = ("cc", "gcc", "g++", "c++", "clang", "ld", "as", "make", "cmake", "git", "uv")
PROGRAM_FOLDERS = ("usr/bin", "usr/local/bin", "opt/venv/bin")
TRACES = ("/etc/pip.conf", "/etc/uv", "/root/.cache", "/root/.config", "/build")


def left_over(root: Path, base: Path) -> list[str]:
    """Paths in an image that only its build needed, without what its base has; both are mounted root file systems."""
    suspects = [f"/{folder}/{tool}" for folder in PROGRAM_FOLDERS for tool in TOOLS]
    suspects += [*TRACES, *_below("var/lib/apt/lists", root), *_below("var/cache/apt/archives", root)]
    return [path for path in suspects if _is_there(root, path) and not _is_there(base, path)]


def _below(folder: str, root: Path) -> list[str]:
    place = root / folder
    return [f"/{folder}/{entry.name}" for entry in place.iterdir()] if place.is_dir() else []


def _is_there(root: Path, path: str) -> bool:
    place = root / path.lstrip("/")
    # A link counts, wherever it leads.
    return place.is_symlink() or place.exists()
