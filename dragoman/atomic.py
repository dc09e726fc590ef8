"""Writing that never leaves a half-made file or directory under its final name."""

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dragoman.errors import OutputError


def to_json(value: object) -> str:
    """Canonical JSON: sorted keys, two spaces, UTF-8 as it is, a newline at the end."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, value: object) -> None:
    """Write a value as canonical JSON, whole or not at all."""
    write_text(path, to_json(value))


def write_text(path: Path, text: str) -> None:
    """Write a text file as UTF-8, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def check_writable(path: Path) -> None:
    """Raise OutputError when a file could not be written, before the work that would be lost."""
    if not Path(path).parent.is_dir() or not os.access(Path(path).parent, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {path}: {Path(path).parent} is not a writable directory; choose another place")


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all; raises OutputError."""
    with file(path) as opened:
        opened.write(data)


@contextmanager
def file(path: Path) -> Iterator[BinaryIO]:
    """Give an open file that becomes ``path`` when the block ends well, synced, and vanishes otherwise.

    Raises OutputError when it cannot be written, in the block too.
    """
    path = Path(path)
    temporary: str | None = None
    try:
        descriptor, temporary = _open_beside(path)
        with os.fdopen(descriptor, "wb") as opened:
            yield opened
            opened.flush()
            os.fsync(opened.fileno())
        Path(temporary).replace(path)
        temporary = None
        _sync_directory(path.parent)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose a writable place") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


@contextmanager
def directory(path: Path) -> Iterator[Path]:
    """Give a temporary sibling directory that becomes ``path`` when the block ends well, and vanishes otherwise.

    Raises OutputError when ``path`` exists already or its parent cannot be written.
    """
    path = Path(path)
    if path.exists():
        raise OutputError(f"{path} exists already; choose another directory or remove it first")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _make_directory_beside(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose a writable place") from error
    try:
        yield temporary
        for folder, _, files in os.walk(temporary):
            for name in files:
                _sync_file(Path(folder) / name)
            _sync_directory(Path(folder))
        temporary.rename(path)
        _sync_directory(path.parent)
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_directory(path: Path) -> None:
    # A rename is durable only once the directory that holds the name is on disk as well.
    _sync_file(path)


def _open_beside(path: Path) -> tuple[int, str]:
    """Open a new file beside ``path``; the kernel gives it the rights of any new file, as tempfile's own have not."""
    while True:
        temporary = _name_beside(path)
        with contextlib.suppress(FileExistsError):
            return os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), str(temporary)


def _make_directory_beside(path: Path) -> Path:
    while True:
        temporary = _name_beside(path)
        with contextlib.suppress(FileExistsError):
            temporary.mkdir(0o777)
            return temporary


def _name_beside(path: Path) -> Path:
    return path.parent / f".{path.name}.{secrets.token_hex(4)}"
