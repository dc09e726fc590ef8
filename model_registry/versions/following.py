"""Keeping a directory at what an alias names, for servers that follow it (``dragoman.live.pointer``).

One process polls the registry, fetches and verifies, and only then moves the pointer; an outage, a damaged file or a
full disk leave the last verified bundle where it is, and the pointer gives the reason.
"""

import fcntl
import logging
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from dragoman.bundle.manifest import VERSION_LENGTH
from dragoman.bundle.store import open_bundle
from dragoman.errors import BundleError, ConfigError, DragomanError, OutputError, UnavailableError
from dragoman.live.pointer import Pointer
from model_registry.versions.registry import Registry, bundle_label

log = logging.getLogger(__name__)

# A failure that is no outage is most likely permanent, and each retry fetches the whole bundle.
LONGEST_PAUSE_S = 600.0
# The copy that lies here is verified again so often, and gets a new signature if there is one.
VERIFY_EVERY_S = 300.0
LOCK = ".follower.lock"


def follow(
    name: str,
    alias: str,
    into: Path,
    *,
    every_s: float,
    tracking_uri: str | None,
    wait: Callable[[float], bool],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Keep ``into`` at what ``name@alias`` names, asking every ``every_s`` seconds until ``wait(seconds)`` is true.

    ``clock`` gives seconds. Raises ConfigError when another process follows into the same directory or the URI is none,
    and OutputError when the directory cannot be written.
    """
    with _alone(into):
        follower = _Follower(name, alias, into, clock)
        registry: Registry | None = None
        failures = 0
        while True:
            try:
                registry = registry or Registry.open(tracking_uri)
                follower.update(registry)
                failures = 0
            except (UnavailableError, ConfigError) as error:
                if error.field == "tracking_uri":
                    raise
                if isinstance(error, UnavailableError):
                    # Opening it again probes the store first, with short patience.
                    registry = None
                # The alias may be set tomorrow: servers may be started before there is a champion.
                follower.keep(str(error))
                failures = 0
            except DragomanError as error:
                follower.keep(str(error))
                failures += 1
            except Exception as error:
                # From the library of an artifact store, say. The servers depend on this process, so it goes on.
                log.exception("following failed unexpectedly")
                follower.keep(repr(error))
                failures += 1
            if wait(min(every_s * 2.0 ** min(failures, 20), max(every_s, LONGEST_PAUSE_S))):
                return


class _Follower:
    """The pointer of a directory, and the steps that move it."""

    def __init__(self, name: str, alias: str, into: Path, clock: Callable[[], float]) -> None:
        self._name, self._alias, self._into, self._clock = name, alias, into, clock
        self._bundles = re.compile(rf"{re.escape(name)}-[0-9a-f]{{{VERSION_LENGTH}}}")
        self._verified_at = clock()
        for folder in into.iterdir():
            # Downloads that a killed process left unfinished.
            staged = folder.name.startswith(".") and self._bundles.match(folder.name[1:])
            if staged or folder.name.startswith(".fetch-"):
                shutil.rmtree(folder, ignore_errors=True)
        self._pointer = self._last()

    def update(self, registry: Registry) -> None:
        """Fetch and verify the version that the alias names, and point to it."""
        version = registry.by_alias(self._name, self._alias)
        before = self._pointer
        is_here = version.digest == before.digest and (self._into / str(before.bundle)).is_dir()
        if not is_here or self._clock() >= self._verified_at + VERIFY_EVERY_S:
            # The check of its tags makes the label safe as the name of a directory.
            label = bundle_label(version)
            try:
                registry.fetch(version, self._into)
            except BundleError:
                if not (self._into / label).exists():
                    raise
                # The copy that was fetched earlier is damaged, or else fetching fails again and changes nothing.
                with tempfile.TemporaryDirectory(prefix=".fetch-", dir=self._into) as scratch:
                    fetched = registry.fetch(version, Path(scratch)).path
                    shutil.rmtree(self._into / fetched.name)
                    fetched.rename(self._into / fetched.name)
            self._verified_at = self._clock()
            if label != before.bundle:
                log.info("%s is version %d now, bundle %s", before.reference, version.number, label)
            self._pointer = replace(before, bundle=label, digest=version.digest)
        if before.error:
            log.info("%s can be followed again", registry.place)
        self._pointer = replace(self._pointer, checked_at=time.time(), error=None)
        self._pointer.write(self._into)
        if before.bundle and before.bundle != self._pointer.bundle:
            # A rollback wants the one before; all others can go.
            for folder in self._into.iterdir():
                if self._bundles.fullmatch(folder.name) and folder.name not in (before.bundle, self._pointer.bundle):
                    shutil.rmtree(folder, ignore_errors=True)

    def keep(self, reason: str) -> None:
        """Leave the pointer where it is, and log the reason once."""
        bundle = self._pointer.bundle
        if reason != self._pointer.error:
            log.warning("%s; %s", reason, f"the servers stay with {bundle}" if bundle else "there is no bundle yet")
        self._pointer = replace(self._pointer, error=reason)
        try:
            self._pointer.write(self._into)
        except OutputError as unwritten:
            # The disk may be full; the next round tries again.
            log.warning("%s", unwritten)

    def _last(self) -> Pointer:
        """Return the pointer of an earlier process, if it followed the same alias and the bundle is whole."""
        reference = f"{self._name}@{self._alias}"
        try:
            pointer = Pointer.read(self._into)
            if pointer and pointer.reference == reference:
                if pointer.bundle:
                    open_bundle(self._into / pointer.bundle)
                return pointer
        except (BundleError, OSError) as error:
            log.warning("%s; asking the registry", error)
        return Pointer(reference=reference)


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
