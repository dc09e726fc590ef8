"""A cache of what self-checks found, so that a start need not repeat one for the same model on the same machine.

Each verdict is a small JSON file of its own, named by the digest of all that it depends on. One that is missing,
damaged or not to be written is no error: the check is made again.

Of processes that start at the same time, as the workers of a server do, one checks and the others wait for it. If all
of them checked, each would have a part of the processor only, and be out of time where one alone is not.
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dragoman.atomic import write_json
from dragoman.engines.mixing import BY_WIDTH, FREE, MIXING_VARIABLE, Verdict, budget_s, configured_mixing
from dragoman.errors import OutputError

CACHE_VARIABLE = "DRAGOMAN_CACHE"
# Between two looks at whether another process has finished its check.
WAIT_S = 0.02

Key = Mapping[str, object]


def cache_folder() -> Path:
    """Return where this user's caches are: ``DRAGOMAN_CACHE``, or ``dragoman`` in the usual place.

    Raises RuntimeError for a user without a home.
    """
    if folder := os.environ.get(CACHE_VARIABLE):
        return Path(folder)
    usual = os.environ.get("XDG_CACHE_HOME")
    return (Path(usual) if usual else Path.home() / ".cache") / "dragoman"


def settled_verdict(key: Key, check: Callable[[], Verdict]) -> Verdict:
    """Return the verdict that is set, or that an earlier start came to, or that the check comes to now.

    Raises ConfigError for a setting that is none.
    """
    if (setting := configured_mixing()) != "auto":
        return Verdict(setting, f"not made: {MIXING_VARIABLE} is set", certain=True)
    known = cached_verdict(key)
    if known is not None:
        return known
    with _turn(key) as others_came_first:
        if others_came_first:
            return cached_verdict(key) or Verdict(BY_WIDTH, "not made: another process was at it", certain=False)
        verdict = check()
        if verdict.certain:
            store_verdict(key, verdict)
    return verdict


def cached_verdict(key: Key) -> Verdict | None:
    """Return the verdict that was stored under this key, None where there is none that can be read."""
    try:
        stored = json.loads(_file(key).read_text(encoding="utf-8"))
    except (OSError, RuntimeError, ValueError):
        return None
    match stored:
        case {"key": stored_key, "mixing": str(mixing), "reason": str(reason)}:
            if stored_key == json.loads(json.dumps(key)) and mixing in (FREE, BY_WIDTH):
                return Verdict(mixing, f"cached: {reason}", certain=True)
    return None


def store_verdict(key: Key, verdict: Verdict) -> None:
    """Keep a verdict for the next start, where this process may write."""
    try:
        file = _file(key)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {"key": key, "mixing": verdict.mixing, "reason": verdict.reason})
    except (OSError, RuntimeError, ValueError, OutputError):
        # Read-only containers have no place for it, and a setting that is no Unicode has no form in JSON; the next
        # start checks again.
        return


@contextmanager
def _turn(key: Key) -> Iterator[bool]:
    """Wait while another process checks the same, for as long as a check may take; tell whether one did.

    Where there is no place for a lock, everybody has a turn at once.
    """
    try:
        path = _file(key).with_suffix(".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("wb")
    except (OSError, RuntimeError):
        yield False
        return
    with lock:
        yield _wait_for(lock)


def _wait_for(lock: BinaryIO) -> bool:
    """Take a lock, or give up when a check must have ended; tell whether somebody else had it."""
    deadline = time.monotonic() + budget_s()
    others_have_it = False
    while time.monotonic() < deadline:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            others_have_it = True
            time.sleep(WAIT_S)
        except OSError:
            # A file system without locks.
            break
    return others_have_it


def _file(key: Key) -> Path:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return cache_folder() / "mixing" / f"{digest[:32]}.json"
