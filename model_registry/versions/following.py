"""Keeping a directory at what an alias names, for servers that follow it (``dragoman.live.pointer``).

One process asks the registry, fetches and verifies, and moves the pointer only then; a moment's outage, a damaged file
or a full disk leave the last verified bundle where it is, and the pointer says why.
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
from model_registry.versions.version import Version

log = logging.getLogger(__name__)

# What failed for another reason than an outage fails again most likely, and each try fetches the whole bundle.
LONGEST_PAUSE_S = 600.0
# Between two verifications of the copy that lies here, and looks for a new signature of it.
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
                    # Opening asks first whether anybody is there, with little patience.
                    registry = None
                # The alias may be set tomorrow: the servers may well be there before the first champion is.
                follower.keep(str(error))
                failures = 0
            except DragomanError as error:
                follower.keep(str(error))
                failures += 1
            except Exception as error:
                # The library of some artifact store, say. Nobody restarts what the servers wait for in silence.
                log.exception("following failed in a way that nobody foresaw")
                follower.keep(repr(error))
                failures += 1
            if wait(min(every_s * 2.0 ** min(failures, 20), max(every_s, LONGEST_PAUSE_S))):
                return


class _Follower:
    """The pointer of a directory, and what moves it."""

    def __init__(self, name: str, alias: str, into: Path, clock: Callable[[], float]) -> None:
        self._name, self._alias, self._into, self._clock = name, alias, into, clock
        self._bundles = re.compile(rf"{re.escape(name)}-[0-9a-f]{{{VERSION_LENGTH}}}")
        self._verified_at = clock()
        self._remove_half_fetched()
        self._pointer = self._last()

    def update(self, registry: Registry) -> None:
        """Let the pointer name what the alias does, fetched and verified."""
        version = registry.by_alias(self._name, self._alias)
        before = self._pointer
        is_here = version.digest == before.digest and (self._into / str(before.bundle)).is_dir()
        if not is_here or self._clock() >= self._verified_at + VERIFY_EVERY_S:
            # Known to be harmless as the name of a directory, which it is from here on.
            label = bundle_label(version)
            try:
                registry.fetch(version, self._into)
            except BundleError:
                if not (self._into / label).exists():
                    raise
                # What was fetched earlier is what is damaged, or else this fails as well and changes nothing.
                self._replace(registry, version)
            self._verified_at = self._clock()
            if label != before.bundle:
                log.info("%s is version %d now, bundle %s", before.reference, version.number, label)
            self._pointer = replace(before, bundle=label, digest=version.digest)
        if before.error:
            log.info("%s answers as it should again", registry.place)
        self._pointer = replace(self._pointer, checked_at=time.time(), error=None)
        self._pointer.write(self._into)
        if before.bundle and before.bundle != self._pointer.bundle:
            # A rollback wants the one before.
            self._remove_all_but({before.bundle, str(self._pointer.bundle)})

    def keep(self, reason: str) -> None:
        """Leave the pointer where it is and say why, once."""
        bundle = self._pointer.bundle
        if reason != self._pointer.error:
            log.warning("%s; %s", reason, f"the servers stay with {bundle}" if bundle else "there is no bundle yet")
        self._pointer = replace(self._pointer, error=reason)
        try:
            self._pointer.write(self._into)
        except OutputError as unwritten:
            # The disk may be full, which the next round finds out.
            log.warning("%s", unwritten)

    def _last(self) -> Pointer:
        """What an earlier process left, if it followed the same alias and the bundle is whole."""
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

    def _replace(self, registry: Registry, version: Version) -> None:
        """Fetch a version anew, and only then remove the copy that is here."""
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=self._into) as scratch:
            fetched = registry.fetch(version, Path(scratch)).path
            copy = self._into / fetched.name
            shutil.rmtree(copy)
            fetched.rename(copy)

    def _remove_all_but(self, kept: set[str]) -> None:
        for folder in self._into.iterdir():
            if self._bundles.fullmatch(folder.name) and folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    def _remove_half_fetched(self) -> None:
        """Delete what a process left that was killed in the middle of a download."""
        for folder in self._into.iterdir():
            staged = folder.name.startswith(".") and self._bundles.match(folder.name[1:])
            if staged or folder.name.startswith(".fetch-"):
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
