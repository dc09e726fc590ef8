"""The commit of a checkout, which trained models, container images and records of measurements name as their origin."""

import subprocess
from pathlib import Path


def git_commit(root: Path) -> str | None:
    """Return the full hash of the commit checked out at ``root``, with ``-dirty`` when tracked files differ from it.

    None outside of version control, and where git is not installed or does not answer.
    """
    commit = _git(root, "rev-parse", "HEAD")
    if commit and _git(root, "status", "--porcelain", "--untracked-files=no"):
        return f"{commit}-dirty"
    return commit


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
