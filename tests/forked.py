"""Commands of ours in processes that are forked from one that has imported torch and MLflow, which takes seconds.

Each is a process of its own, with its own directory, environment and output, and is ended by signals as any other; only
its imports are not its own. What a command imports, and when, is shown where it is started as a user starts it.
"""

import atexit
import contextlib
import importlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.conftest import ROOT

PRELOADED = (
    # Before transformers, which imports torchvision.
    "tests.conftest",
    "tests.integration.promoting",
    "alembic.command",
    "ctranslate2.converters",
    "git",
    "matplotlib.pyplot",
    "mlflow.store.artifact.local_artifact_repo",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "model_registry.mlflow_store.study_tracking",
    "model_registry.versions.registry",
    "optuna",
    "sacrebleu",
    "onnxscript",
    "sklearn.linear_model",
    "sklearn.svm",
    "torch.onnx._internal.exporter._core",
    "train.session",
    "train.tasks.image_classification.networks.export",
    "train.tasks.text_classification.bert.conversion",
    "train.tasks.translation.task",
    "transformers.models.bert.modeling_bert",
    "transformers.models.t5.modeling_t5",
    "tune.results.display",
    "tune.results.final",
    "tune.worker",
)


def context() -> Any:
    """Return a context whose processes are forked from one that has imported what most commands need."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(list(PRELOADED))
    return found


class Command:
    """``python -m MODULE ARGUMENTS`` in a forked process, with the methods of ``subprocess.Popen`` that tests call."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        values: Mapping[str, object] | None = None,
        log: Path | None = None,
    ) -> None:
        """Start it in ``folder``, with other ``values`` of variables of modules.

        With a log, both outputs are appended to that, and ``communicate`` returns nothing.
        """
        outputs = [log, log] if log else [_new_file(), _new_file()]
        self._outputs = [] if log else outputs
        given = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
        self._process = context().Process(
            target=_run, args=(module, list(arguments), folder, given, outputs, values or {})
        )
        self._process.start()

    def poll(self) -> int | None:
        return self._process.exitcode

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return int(self._process.exitcode)

    def communicate(self, timeout: float | None = None) -> tuple[str, ...]:
        """Wait for its end and return its standard output and its standard error."""
        self.wait(timeout)
        texts = tuple(path.read_text(encoding="utf-8") for path in self._outputs)
        for path in self._outputs:
            path.unlink()
        return texts

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _new_file() -> Path:
    number, name = tempfile.mkstemp(prefix="forked-")
    os.close(number)
    return Path(name)


def _run(
    module: str,
    arguments: list[str],
    folder: Path,
    environment: dict[str, str],
    outputs: list[Path],
    values: Mapping[str, object],
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for path, number in zip(outputs, (1, 2), strict=True):
        with path.open("ab") as file:
            os.dup2(file.fileno(), number)
    sys.argv = [module, *arguments]
    # As in a process of its own: the signals as they are by default, and at the end what was registered for it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name, value in values.items():
        holder, _, variable = name.rpartition(".")
        setattr(importlib.import_module(holder), variable, value)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        with contextlib.suppress(BaseException):
            atexit._run_exitfuncs()
