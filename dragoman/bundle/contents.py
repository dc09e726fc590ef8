"""Allow-lists of the contents of a bundle: data that is loaded, never code that is run.

A digest proves that a file is the one that was packed, not that it is harmless. Files are therefore limited to
safetensors, the formats that the task's engines read, JSON and text; and ``config.json`` to the keys that the task
names: loaders have run code named there (``auto_map``) even when told to trust none (CVE-2026-4372).
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from dragoman.bundle.manifest import Manifest
from dragoman.errors import BundleError
from dragoman.task_table import find_task

COMMON = (
    r"config\.yaml|MODEL_CARD\.md"
    r"|model/(model|model-\d{5}-of-\d{5})\.safetensors|model/model\.safetensors\.index\.json"
)
MODEL_CONFIG = "model/config.json"


class BundledTask(Protocol):
    """The part of a task's class that describes its bundles; ``dragoman.tasks.base`` explains each attribute."""

    files: str
    model_config_keys: Mapping[str, frozenset[str]]

    def options_of(self, manifest: Manifest) -> Any:
        """Read the options, and raise BundleError where they are wrong."""

    def limits_of(self, manifest: Manifest) -> Any:
        """Read the limits, and raise BundleError where they are wrong."""


def check_contents(root: Path, manifest: Manifest) -> None:
    """Check files, options, limits and model configuration by the rules of the task; raises BundleError."""
    task: BundledTask = find_task(manifest.task)
    allowed = re.compile(f"{COMMON}|{task.files}" if task.files else COMMON)
    for entry in manifest.files:
        if not allowed.fullmatch(entry.path):
            raise BundleError(
                f"{root / entry.path} may not be part of a bundle for {manifest.task}, which holds weights, "
                "vocabularies and text"
            )
    task.options_of(manifest)
    task.limits_of(manifest)
    if task.model_config_keys:
        _check_model_config(root / MODEL_CONFIG, task.model_config_keys)


def _check_model_config(path: Path, keys_of: Mapping[str, frozenset[str]]) -> None:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"cannot read {path}: {error}") from error
    if not isinstance(config, dict):
        raise BundleError(f"{path} must hold a JSON object, got {type(config).__name__}")
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in keys_of:
        raise BundleError(f"{path} describes a model of type {kind!r}; {' or '.join(keys_of)} is accepted")
    unknown = sorted(set(config) - keys_of[kind])
    if unknown:
        raise BundleError(f"{path} holds keys that do not describe a {kind}: {', '.join(unknown)}; remove them")
