"""Where a model comes from: the commit of the code and the digest of the configuration."""

import dataclasses
import hashlib
import subprocess
from pathlib import Path

from train.config.compose import to_yaml
from train.config.settings import Config

ROOT = Path(__file__).resolve().parents[2]


def config_digest(config: Config) -> str:
    """sha256 of the configuration without the places it was run and recorded at."""
    return hashlib.sha256(to_yaml(config, portable=True).encode("utf-8")).hexdigest()


def training_digest(config: Config) -> str:
    """sha256 of what a checkpoint depends on: another machine may go on with it, on a device of its own."""
    anywhere = dataclasses.replace(config.train, device="auto", threads="auto")
    return config_digest(dataclasses.replace(config, train=anywhere))


def git_commit() -> str | None:
    """The commit of this code, with ``-dirty`` when files differ from it; None outside version control."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return None
    return f"{commit}-dirty" if _git("status", "--porcelain", "--untracked-files=no") else commit


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
