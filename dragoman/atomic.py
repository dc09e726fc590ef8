"""Writing that never leaves a half-made file or directory under its final name."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
    """Write a file beside its final name, sync it and rename it there; raises OutputError."""
    path = Path(path)
    temporary: str | None = None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose a writable place") from error


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
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose a writable place") from error
    try:
        yield temporary
        for folder, _, files in os.walk(temporary):
            for name in files:
                _sync_file(Path(folder) / name)
            _sync_directory(Path(folder))
        temporary.chmod(0o777 & ~_umask())
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


def _umask() -> int:
    # mkstemp and mkdtemp make private files; what is published should get the rights any new file would get.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
