"""Inputs that are files: those of a folder, in order."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from dragoman.errors import DataError


def list_files(sources: Sequence[str | Path]) -> Iterator[Path]:
    """Yield files as they are given, and those of a folder and its folders by name; raises DataError.

    Hidden files are left out: systems put them into folders of pictures, and nobody means them.
    """
    for source in map(Path, sources):
        if source.is_dir():
            found = (path for path in source.rglob("*") if path.is_file())
            inside = sorted((path.relative_to(source).parts, path) for path in found)
            yield from (path for parts, path in inside if not any(part.startswith(".") for part in parts))
        elif source.exists():
            yield source
        else:
            raise DataError(f"cannot read {source}: it does not exist; give a file or a folder of files")
