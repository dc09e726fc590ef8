"""Promotions in processes of their own, some of which are killed before they end."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from functools import wraps
from typing import Any

import matplotlib.figure  # noqa: F401 - imported once, for all processes
from mlflow.tracking import MlflowClient

import dragoman.tasks.translation.task  # noqa: F401
import model_registry.promotion.promote  # noqa: F401
from model_registry.command_line import main
from model_registry.mlflow_store.connection import connect
from model_registry.promotion import lease
from model_registry.promotion.history import DecisionLog

# Every write that a promotion or a rollback makes, in the order in which they come.
WRITES = (
    "set_registered_model_tag",
    "create_run",
    "log_batch",
    "log_artifacts",
    "set_registered_model_alias",
    "set_model_version_tag",
    "set_terminated",
    "delete_registered_model_tag",
)

REJECTION = {"kind": "promotion", "verdict": "rejected", "reason": "worse", "candidate": "1", "champion": "", "at": "-"}


def context() -> Any:
    """Return a context whose processes are forked from one that has imported MLflow, which takes seconds."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload([__name__])
    return found


def settle_quickly() -> None:
    """Shorten the waits of the lease, for tests where nobody competes."""
    lease.SETTLE_SECONDS, lease.LOOK_AND_WRITE_SECONDS = 0.05, 60.0


def command(arguments: list[str]) -> None:
    """Run a command in this process and end with its status."""
    raise SystemExit(main(arguments))


def take_lease_and_die(uri: str, name: str) -> None:
    """Die while holding the lease."""
    with lease.lease(MlflowClient(uri, uri), name):
        os.kill(os.getpid(), signal.SIGKILL)


def open_decision_and_die(uri: str, name: str) -> None:
    """Die while a rejection is being written."""
    DecisionLog(MlflowClient(uri, uri), name).open(REJECTION, {}, None)
    os.kill(os.getpid(), signal.SIGKILL)


def open_store(uri: str) -> None:
    """Connect to a store, which may be new, and ask it something."""
    connect(uri).search_experiments()


def command_killed(arguments: list[str], after_writes: int) -> None:
    """Run a command, and die of SIGKILL after so many writes."""
    settle_quickly()
    count = 0

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            found = method(*args, **kwargs)
            count += 1
            if count == after_writes:
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        return call

    for name in WRITES:
        setattr(MlflowClient, name, counted(getattr(MlflowClient, name)))
    raise SystemExit(main(arguments))
