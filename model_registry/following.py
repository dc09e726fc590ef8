"""Keeping a directory at what an alias names, for servers that follow it (``dragoman.following``).

One process asks the registry, fetches and verifies, and moves the pointer only then; a moment's outage, a damaged file
or a full disk leave the last verified bundle where it is, and the pointer says why.
"""

import fcntl
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from dragoman.bundle import open_bundle
from dragoman.errors import BundleError, ConfigError, DragomanError, OutputError, UnavailableError
from dragoman.following import Pointer
from model_registry.client import Registry

log = logging.getLogger(__name__)

# What failed for another reason than an outage fails again most likely, and each try fetches the whole bundle.
LONGEST_PAUSE_S = 600.0
LOCK = ".follower.lock"


def follow(
    name: str,
    alias: str,
    into: Path,
    *,
    every_s: float,
    tracking_uri: str | None,
    wait: Callable[[float], bool],
) -> None:
    """Keep ``into`` at what ``name@alias`` names, asking every ``every_s`` seconds until ``wait(seconds)`` is true.

    Raises ConfigError when another process follows into the same directory or the URI is none, and OutputError when the
    directory cannot be written.
    """
    with _alone(into):
        _remove_half_fetched(into, name)
        pointer = _last(into, f"{name}@{alias}")
        failures = 0
        while True:
            try:
                pointer = _update(pointer, Registry.open(tracking_uri), name, alias, into)
                failures = 0
            except (UnavailableError, ConfigError) as error:
                if error.field == "tracking_uri":
                    raise
                # The alias may be set tomorrow: the servers may well be there before the first champion is.
                pointer, failures = _keep(pointer, error, into), 0
            except DragomanError as error:
                pointer, failures = _keep(pointer, error, into), failures + 1
            if wait(min(every_s * 2.0 ** min(failures, 20), max(every_s, LONGEST_PAUSE_S))):
                return


def _update(pointer: Pointer, registry: Registry, name: str, alias: str, into: Path) -> Pointer:
    """The pointer to what the alias names now, fetched and verified, and written down."""
    version = registry.find(name, alias)
    if version.digest != pointer.digest or not (into / str(pointer.bundle)).is_dir():
        try:
            bundle = registry.fetch(version, into)
        except BundleError:
            copy = into / f"{name}-{version.bundle_version}"
            if not copy.exists():
                raise
            # What was fetched earlier is what is damaged.
            shutil.rmtree(copy)
            bundle = registry.fetch(version, into)
        log.info("%s is version %d now, bundle %s", pointer.reference, version.number, bundle.path.name)
        before = pointer.bundle
        pointer = replace(pointer, bundle=bundle.path.name, digest=version.digest)
    else:
        before = None
    if pointer.error:
        log.info("%s answers again", registry.place)
    pointer = replace(pointer, checked_at=time.time(), error=None)
    pointer.write(into)
    if before:
        _remove_others(into, name, {before, str(pointer.bundle)})
    return pointer


def _keep(pointer: Pointer, error: DragomanError, into: Path) -> Pointer:
    """The same pointer with what went wrong, which is told once."""
    if str(error) != pointer.error:
        staying = f"the servers stay with {pointer.bundle}" if pointer.bundle else "there is no bundle yet"
        log.warning("%s; %s", error, staying)
    pointer = replace(pointer, error=str(error))
    try:
        pointer.write(into)
    except OutputError as unwritten:
        # The disk may be full, which the next round finds out.
        log.warning("%s", unwritten)
    return pointer


def _last(into: Path, reference: str) -> Pointer:
    """What an earlier process left, if it followed the same alias and the bundle is whole."""
    try:
        pointer = Pointer.read(into)
        if pointer and pointer.reference == reference:
            if pointer.bundle:
                open_bundle(into / pointer.bundle)
            return pointer
    except BundleError as error:
        log.warning("%s; asking the registry", error)
    return Pointer(reference=reference)


def _remove_others(into: Path, name: str, kept: set[str]) -> None:
    """Delete all bundles but these: the one that is served, and the one before, which a rollback wants."""
    for folder in into.glob(f"{name}-*"):
        if folder.is_dir() and folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_half_fetched(into: Path, name: str) -> None:
    """Delete what a process left that was killed in the middle of a download."""
    for pattern in (f".{name}-*", ".fetch-*"):
        for folder in into.glob(pattern):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _alone(into: Path) -> Iterator[None]:
    try:
        into.mkdir(parents=True, exist_ok=True)
        lock = (into / LOCK).open("ab")
    except OSError as error:
        raise OutputError(f"cannot write into {into}: {error.strerror or error}; choose a writable place") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"another process follows into {into}; give each its own directory") from error
        yield
