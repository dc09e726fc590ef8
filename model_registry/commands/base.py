"""The parts of a command, and what several commands share: opening the registry, and naming a bundle or a version."""

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.bundle.store import MANIFEST, Bundle, open_bundle
from dragoman.errors import BundleError, ConfigError, DataError

if TYPE_CHECKING:
    # MLflow takes seconds to import: help and wrong command lines should not wait for it.
    from model_registry.versions.registry import Registry
    from model_registry.versions.version import Version

Run = Callable[[argparse.Namespace], int | None]
# The arguments of argparse's ``add_argument``.
Argument = tuple[tuple[str, ...], dict[str, Any]]


@dataclass(frozen=True)
class Command:
    """A command: the docstring of its function is the description that ``--help`` shows."""

    run: Run
    summary: str
    arguments: Sequence[Argument]
    epilog: str | None

    @property
    def name(self) -> str:
        """The function's name; ``list_`` is not to hide Python's own."""
        return self.run.__name__.rstrip("_")


def argument(*flags: str, **settings: Any) -> Argument:
    """Describe an argument as argparse takes it."""
    return flags, settings


def command(summary: str, *arguments: Argument, epilog: str | None = None) -> Callable[[Run], Command]:
    """Make a command of a function."""
    return lambda run: Command(run, summary, arguments, epilog)


SELECTED = "NAME@ALIAS (captions@champion) or NAME/VERSION (captions/3)"
NAME = argument("name", metavar="NAME", help="the model, as list shows it")
RUN_OR_BUNDLE = argument("path", type=Path, metavar="RUN_OR_BUNDLE", help="runs/ID, or a bundle directory")
TARGET = argument("target", metavar="NAME@ALIAS|BUNDLE", help=f"{SELECTED}, or a bundle or run directory")


def open_registry(options: argparse.Namespace, *, create: bool = False) -> "Registry":
    """Open the registry that the options name; ``create`` allows a new SQLite store."""
    from model_registry.versions.registry import Registry

    return Registry.open(options.tracking_uri, create=create)


def find_version(options: argparse.Namespace) -> "tuple[Registry, Version]":
    """Open the registry and find the version that ``options.target`` names."""
    name, selector = parse_reference(options.target)
    registry = open_registry(options)
    return registry, registry.find(name, selector)


def local_or_fetched(
    options: argparse.Namespace, folder: Path, opened: Callable[[Path], Bundle] = open_bundle
) -> Bundle:
    """Open the bundle at the path ``options.target``, or fetch the version of that name into a folder."""
    path = Path(options.target)
    if path.exists():
        return opened(bundle_directory(path))
    registry, version = find_version(options)
    return registry.fetch(version, folder, opened)


def bundle_directory(path: Path) -> Path:
    """Return the bundle directory of a path, which is a bundle or a training run; raises DataError or BundleError."""
    if not path.exists():
        raise DataError(f"{path} does not exist; give a directory of runs/ or a bundle")
    if (path / MANIFEST).exists():
        return path
    if (path / "bundle").is_dir():
        return path / "bundle"
    if (path / "checkpoints").is_dir() or (path / "mlflow.json").exists():
        raise BundleError(f"the run {path} has no bundle yet; let it end with: python -m train resume={path}")
    raise DataError(f"{path} is neither a run nor a bundle: it has no {MANIFEST} and no bundle/{MANIFEST}")


def parse_reference(target: str) -> tuple[str, str]:
    """Split ``NAME@ALIAS`` or ``NAME/VERSION``; raises ConfigError, or DataError for what is rather a path."""
    for separator in "@/":
        name, found, selector = target.partition(separator)
        if name and found and selector and "/" not in selector:
            if separator == "/" and Path(name).is_dir():
                raise DataError(f"{target} does not exist; give a bundle directory, or {SELECTED}")
            return name, selector
    raise ConfigError(f"{target!r} is neither a bundle directory nor {SELECTED}")


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows in columns as wide as their longest cell."""
    lines = [header, *([cell or "-" for cell in row] for row in rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
