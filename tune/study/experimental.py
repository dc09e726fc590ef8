"""Silence for what Optuna warns of and this search has thought about."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from optuna.exceptions import ExperimentalWarning


@contextmanager
def accepted() -> Iterator[None]:
    """Inside, no word about experimental features, nor about heartbeats without ``Study.optimize``: we give our own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed")
        yield
