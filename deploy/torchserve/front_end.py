"""The size of TorchServe's batches and the number of its workers, where the engine wants its own.

TorchServe takes both from the archive's ``model-config.yaml``, before ``config.properties``. Registration over the
management API goes before the file, but would have to be allowed to everybody on the machine. So the archive is
unpacked into the model store, where TorchServe reads it in place of unpacking it, and the copy of the file is changed.
"""

import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.torchserve.config import Archive
from dragoman.engines.selection import configured_engine, torch_gpu_count
from dragoman.errors import BundleError
from dragoman.tasks.base import task_class

MODEL_CONFIG = "model-config.yaml"
# A quarter of the rows that the torch engine computes at once on CUDA, since a request may take several. A larger batch
# would let its short requests wait longer: TorchServe sends no answer before all are there. Not run on a GPU yet.
CUDA_BATCH_SIZE = 64


@dataclass(frozen=True, kw_only=True)
class FrontEnd:
    """The requests of a batch at most, and the workers that each compute one batch at a time."""

    batch_size: int
    workers: int


def front_end_for(table: Mapping[str, str], engine: str, *, gpus: int) -> FrontEnd | None:
    """Return the numbers that an engine of a task's table wants; None where the archive's own numbers hold.

    ``engine`` is the name that is configured, or ``auto``; ``gpus`` are those that the workers can compute on.
    """
    if gpus and "torch" in table and engine in ("auto", "torch"):
        # A second worker of a GPU would need its memory twice and wait for the first.
        return FrontEnd(batch_size=CUDA_BATCH_SIZE, workers=gpus)
    return None


def configured_front_end(mar: Path) -> FrontEnd | None:
    """Return the numbers that the configured engine wants on this machine; None where the archive's own numbers hold.

    Raises the errors of ``Archive.open`` and ``configured_engine``.
    """
    archive = Archive.open(mar)
    table = task_class(archive.manifest.task).engines
    return front_end_for(table, configured_engine(table), gpus=_gpus_for_workers(archive))


def unpack(archive: Archive, folder: Path, front_end: FrontEnd) -> None:
    """Unpack an archive with other numbers in its model configuration; raises BundleError where it is damaged."""
    try:
        with zipfile.ZipFile(archive.path) as mar:
            mar.extractall(folder)
    except zipfile.BadZipFile as error:
        raise BundleError(f"{archive.path} is damaged ({error}); package it again") from error
    numbers = {"minWorkers": front_end.workers, "maxWorkers": front_end.workers, "batchSize": front_end.batch_size}
    (folder / MODEL_CONFIG).write_text(yaml.safe_dump({**_model_config(archive), **numbers}), encoding="utf-8")


def _gpus_for_workers(archive: Archive) -> int:
    # TorchServe gives its workers no GPU where it finds no nvidia-smi, and the handler then computes on the CPU.
    if shutil.which("nvidia-smi") is None or _model_config(archive).get("deviceType") == "cpu":
        return 0
    return torch_gpu_count()


def _model_config(archive: Archive) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(archive.path) as mar:
            return dict(yaml.safe_load(mar.read(MODEL_CONFIG)))
    except (zipfile.BadZipFile, KeyError) as error:
        raise BundleError(f"cannot read {MODEL_CONFIG} in {archive.path} ({error}); package it again") from error
