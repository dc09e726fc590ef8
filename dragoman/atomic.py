"""Writing that never leaves an incomplete file or directory under its final name.

Everything is written under a temporary name beside the final one, synced, and renamed, which is one step for readers. A
rename is durable only once the directory that holds the name is on disk as well, so that is synced last.
"""

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from dragoman.errors import OutputError


def to_json(value: object) -> str:
    """Return canonical JSON: sorted keys, two spaces, UTF-8 as it is, a newline at the end."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, value: object) -> None:
    """Write a value as canonical JSON, whole or not at all."""
    write_text(path, to_json(value))


def write_text(path: Path, text: str) -> None:
    """Write a text file as UTF-8, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all; raises OutputError."""
    with file(path) as opened:
        opened.write(data)


def check_writable(path: Path) -> None:
    """Raise OutputError when a file could not be written, before the work that would be lost."""
    if Path(path).exists() and not Path(path).is_file():
        # A device would be replaced: nobody has a /dev/null after that.
        raise OutputError(f"cannot write {path}: it is there already, and no plain file; choose another place")
    if not Path(path).parent.is_dir() or not os.access(Path(path).parent, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {path}: {Path(path).parent} is not a writable directory; choose another place")


@contextlib.contextmanager
def file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that becomes ``path`` when the block ends well, and vanishes otherwise.

    Raises OutputError when it cannot be written, in the block too.
    """
    path = Path(path)
    temporary = _name_beside(path)
    try:
        # Not tempfile: the kernel gives this one the permissions of any new file.
        with temporary.open("xb") as opened:
            yield opened
            opened.flush()
            os.fsync(opened.fileno())
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose a writable place") from error
    finally:
        # Whatever prevents this, a read-only file system say, was an error above already.
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextlib.contextmanager
def directory(path: Path) -> Iterator[Path]:
    """Make a temporary sibling directory that becomes ``path`` when the block ends well, and vanishes otherwise.

    Raises OutputError when ``path`` exists already or its parent cannot be written.
    """
    path = Path(path)
    temporary = _name_beside(path)
    if path.exists():
        raise OutputError(f"{path} exists already; choose another directory or remove it first")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose a writable place") from error
    try:
        yield temporary
        for folder, _, files in os.walk(temporary):
            for name in files:
                _sync(Path(folder) / name)
            _sync(Path(folder))
        temporary.rename(path)
        _sync(path.parent)
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _name_beside(path: Path) -> Path:
    # Long enough that no two are ever equal.
    return path.parent / f".{path.name}.{secrets.token_hex(8)}"
