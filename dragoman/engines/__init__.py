"""Engines compute batches; a task names those that it has, and does not know which one it uses."""

import importlib
from collections.abc import Mapping
from typing import Any

from dragoman.bundle import Bundle
from dragoman.errors import ConfigError

DEVICES = ("auto", "cpu", "cuda")


def open_engine(table: Mapping[str, str], bundle: Bundle, *, engine: str, device: str, **arguments: Any) -> Any:
    """Load an engine by name; ``auto`` takes the first one that the bundle and the installed packages allow.

    Raises ConfigError for a name that is unknown, or not possible here.
    """
    if engine not in ("auto", *table):
        raise ConfigError(f"engine must be auto, {' or '.join(table)}, got {engine!r}")
    if device not in DEVICES:
        raise ConfigError(f"device must be one of {', '.join(DEVICES)}, got {device!r}")
    candidates = list(table) if engine == "auto" else [engine]
    reasons = []
    for name in candidates:
        module, _, class_name = table[name].partition(":")
        try:
            kind = getattr(importlib.import_module(module), class_name)
        except ImportError as error:
            reasons.append(f"{name} is not installed ({error})")
            continue
        if reason := kind.cannot_open(bundle):
            reasons.append(reason)
            continue
        return kind(bundle, device=device, **arguments)
    raise ConfigError(
        f"no engine can run {bundle.path}: {'; '.join(reasons)}; pip install 'dragoman[cpu]' or '[torch]'"
    )
