"""A cache of the verdicts of self-checks: a start need not repeat one for the same model on the same machine."""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dragoman.atomic import write_json
from dragoman.engines.mixing import BY_WIDTH, FREE, MIXING_VARIABLE, Verdict, budget_s, configured_mixing
from dragoman.errors import OutputError

# Each verdict is a small JSON file, named by the digest of all that it depends on. One that is missing, damaged or
# cannot be written is no error: the check is made again.
#
# Of processes that start at the same time, as the workers of a server do, one checks and the others wait for it. If all
# of them checked, each would have a part of the processor only, and run out of time where one alone does not.

CACHE_VARIABLE = "DRAGOMAN_CACHE"
# Seconds between two tries to take the lock of another process's check, which takes seconds itself.
WAIT_S = 0.02

Key = Mapping[str, object]


def cache_folder() -> Path:
    """Return the folder of this user's caches: ``DRAGOMAN_CACHE``, or ``dragoman`` in the usual place.

    Raises RuntimeError for a user without a home.
    """
    if folder := os.environ.get(CACHE_VARIABLE):
        return Path(folder)
    usual = os.environ.get("XDG_CACHE_HOME")
    return (Path(usual) if usual else Path.home() / ".cache") / "dragoman"


def settled_verdict(key: Key, check: Callable[[], Verdict]) -> Verdict:
    """Return the verdict that is set, or that of an earlier start, or that of the check.

    Raises ConfigError for a value that is no setting.
    """
    setting = configured_mixing()
    if setting != "auto":
        return Verdict(setting, f"not made: {MIXING_VARIABLE} is set", certain=True)
    known = cached_verdict(key)
    if known is not None:
        return known
    with _turn(key) as others_came_first:
        if others_came_first:
            return cached_verdict(key) or Verdict(BY_WIDTH, "not made: another process was checking", certain=False)
        verdict = check()
        if verdict.certain:
            store_verdict(key, verdict)
    return verdict


def cached_verdict(key: Key) -> Verdict | None:
    """Return the verdict that was stored under this key, None if there is none that can be read."""
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
    """Store a verdict for the next start, if this process may write."""
    try:
        file = _file(key)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {"key": key, "mixing": verdict.mixing, "reason": verdict.reason})
    except (OSError, RuntimeError, ValueError, OutputError):
        # A read-only container has no place for it, and a setting that is no Unicode has no form in JSON.
        return


@contextmanager
def _turn(key: Key) -> Iterator[bool]:
    """Wait while another process checks the same, for as long as a check may take; yield whether one did."""
    try:
        path = _file(key).with_suffix(".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("wb")
    except (OSError, RuntimeError):
        # Without a place for a lock, nobody waits.
        yield False
        return
    deadline, others_have_it = time.monotonic() + budget_s(), False
    with lock:
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
        yield others_have_it


def _file(key: Key) -> Path:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return cache_folder() / "mixing" / f"{digest[:32]}.json"
