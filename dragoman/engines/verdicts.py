"""A cache of what self-checks found, so that a start need not repeat one for the same model on the same machine.

Each verdict is a small JSON file of its own, named by the digest of all that it depends on. Processes that start at the
same time write the same file, each whole. One that is missing, damaged or not to be written is no error: the check is
made again.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from dragoman import atomic
from dragoman.engines.mixing import BY_WIDTH, FREE, MIXING_VARIABLE, Verdict, configured_mixing
from dragoman.errors import OutputError

CACHE_VARIABLE = "DRAGOMAN_CACHE"

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
        atomic.write_json(file, {"key": key, "mixing": verdict.mixing, "reason": verdict.reason})
    except (OSError, RuntimeError, ValueError, OutputError):
        # Read-only containers have no place for it, and a setting that is no Unicode has no form in JSON; the next
        # start checks again.
        return


def _file(key: Key) -> Path:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return cache_folder() / "mixing" / f"{digest[:32]}.json"
