"""Following an alias of the registry through a directory, whose ``current.json`` names the bundle to serve.

::

    DIR/current.json       the bundle that the alias names, and the time at which the registry last answered
    DIR/NAME-VERSION/      that bundle, and the one before it

``python -m model_registry follow`` writes it and servers only read, so that none of them needs MLflow, or a way to it.
A server follows where DRAGOMAN_FOLLOW=DIR is set. It looks once a second::

    pointer names the model in use  -> nothing to do
    pointer names another           -> verify, load and warm it up while the old one serves, then hand it over
    that fails                      -> log it once, keep serving, try again after 1, 2, 4 … 300 seconds
"""

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from dragoman.atomic import write_json
from dragoman.bundle.manifest import Manifest
from dragoman.bundle.store import Bundle, open_bundle
from dragoman.errors import BundleError, ConfigError, DragomanError
from dragoman.predictor import Predictor
from dragoman.tasks.base import task_class

log = logging.getLogger(__name__)

FOLLOW_VARIABLE = "DRAGOMAN_FOLLOW"
POINTER = "current.json"
# Seconds between two reads of the pointer, which is one small file.
LOOK_EVERY_S = 1.0
# Seconds between two attempts at a bundle that was refused, at most: each reads the whole of it.
LONGEST_PAUSE_S = 300.0


@dataclass(frozen=True, kw_only=True)
class Pointer:
    """The target of an alias; ``bundle`` is a directory beside the pointer, None before anything was fetched.

    ``checked_at`` is the time of the registry's last answer in seconds since 1970, and ``error`` the fault since then.
    """

    reference: str
    bundle: str | None = None
    digest: str | None = None
    checked_at: float = 0.0
    error: str | None = None

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Read the pointer of a directory, None where there is none yet; raises BundleError when it is not one."""
        path = folder / POINTER
        try:
            pointer = cls(**json.loads(path.read_text(encoding="utf-8")))
            if pointer.bundle is not None and Path(pointer.bundle).name != pointer.bundle:
                raise ValueError(f"bundle must be the name of a directory, got {pointer.bundle!r}")
            float(pointer.checked_at)
        except FileNotFoundError:
            return None
        except (OSError, TypeError, ValueError) as error:
            raise BundleError(f"{path} does not say which bundle to serve ({error}); remove it") from error
        return pointer

    def write(self, folder: Path) -> None:
        """Put the pointer into a directory, whole or not at all; raises OutputError."""
        write_json(folder / POINTER, asdict(self))


def followed_directory() -> Path | None:
    """Return the directory that the environment names to follow, None where it names none; raises ConfigError."""
    folder = os.environ.get(FOLLOW_VARIABLE)
    if not folder:
        return None
    if not Path(folder).is_dir():
        raise ConfigError(
            f"{FOLLOW_VARIABLE} must name a directory, {folder} is none; make it, and let "
            f"`python -m model_registry follow NAME@champion --into {folder}` fill it"
        )
    return Path(folder)


class Following:
    """A server's view of the followed directory, polled with ``look``.

    ``is_ok`` is true while the alias is known and served, by the registry's answer at ``checked_at`` (seconds since
    1970).
    """

    def __init__(
        self,
        folder: Path,
        packaged: Manifest,
        load: Callable[[Bundle], Predictor],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Follow ``folder``; models must have the name and the work of ``packaged``, which the server was built with.

        ``clock`` gives seconds.
        """
        self.is_ok, self.checked_at = False, 0.0
        self._folder, self._packaged, self._load, self._clock = folder, packaged, load, clock
        self._said = ""
        # The digest that was refused last, and the time from which it may be tried again.
        self._refused: str | None = None
        self._pause_s, self._again_at = 0.0, 0.0

    @classmethod
    def configured(cls, packaged: Manifest, load: Callable[[Bundle], Predictor]) -> Self | None:
        """Follow the directory that the environment names, None where it names none; raises ConfigError."""
        folder = followed_directory()
        return cls(folder, packaged, load) if folder else None

    def look(self, serving: Manifest) -> Predictor | None:
        """Return the model to serve instead of ``serving``, verified, loaded and warmed up; None when there is none.

        Blocks for as long as that takes, and never raises: a fault is logged once, and the old model serves on.
        """
        self.is_ok = False
        try:
            pointer = Pointer.read(self._folder)
            if pointer is None or pointer.bundle is None:
                reason = pointer.error if pointer and pointer.error else f"{self._folder} holds no bundle yet"
                self._say(logging.WARNING, f"{reason}; serving on what is loaded")
                return None
            self.checked_at = pointer.checked_at
            predictor = None
            if pointer.digest != serving.digest:
                if pointer.digest == self._refused and self._clock() < self._again_at:
                    return None
                predictor = self._load_target(pointer)
        except Exception as error:
            # Whatever it is, a file without read permission say, a server that can serve must not die of it.
            explained = isinstance(error, DragomanError)
            reason = str(error) if explained else repr(error)
            message = f"cannot follow, serving on what is loaded: {reason}"
            self._say(logging.ERROR, message, with_traceback=not explained)
            return None
        self.is_ok = pointer.error is None
        if pointer.error:
            self._say(logging.WARNING, f"serving {pointer.bundle}, the last bundle that was verified: {pointer.error}")
        else:
            self._say(logging.INFO, f"serving {pointer.bundle}, which is {pointer.reference}")
        return predictor

    def _load_target(self, pointer: Pointer) -> Predictor:
        """Load the model that a pointer names; each failure doubles the pause before the next attempt at it."""
        assert pointer.bundle is not None
        if pointer.digest != self._refused:
            self._pause_s = 0.0
        try:
            bundle = open_bundle(self._folder / pointer.bundle)
            manifest, packaged = bundle.manifest, self._packaged
            if manifest.digest != pointer.digest:
                raise BundleError(
                    f"{bundle.path} has the digest {manifest.digest}, and {POINTER} says {pointer.digest}"
                )
            name, work = (manifest.name, packaged.name), (_work(manifest), _work(packaged))
            for what, (found, expected) in (("name", name), ("work", work)):
                if found != expected:
                    raise BundleError(f"{bundle.path} has the {what} {found}, and this server was built for {expected}")
            predictor = self._load(bundle)
            try:
                predictor.warm_up()
            except Exception:
                predictor.close()
                raise
        except Exception:
            self._refused, self._pause_s = pointer.digest, min(2 * self._pause_s or LOOK_EVERY_S, LONGEST_PAUSE_S)
            self._again_at = self._clock() + self._pause_s
            raise
        self._refused = None
        return predictor

    def _say(self, level: int, message: str, *, with_traceback: bool = False) -> None:
        """Log a message unless it is the one that was logged last."""
        if message != self._said:
            log.log(level, message, exc_info=with_traceback)
            self._said = message


def _work(manifest: Manifest) -> str:
    return task_class(manifest.task).work(manifest)
