"""TorchServe's batch size and workers follow the engine on CUDA, and are the archive's own everywhere else."""

import shutil
import zipfile
from pathlib import Path

import pytest
import yaml

from deploy.torchserve.config import Archive
from deploy.torchserve.front_end import CUDA_BATCH_SIZE, FrontEnd, configured_front_end, front_end_for, unpack
from dragoman.bundle.store import open_bundle
from dragoman.engines.torch_t5 import SLOTS
from dragoman.errors import BundleError
from dragoman.tasks.translation.task import TranslationTask
from model_registry.packaging.mar import MODEL_CONFIG, build_mar

WITHOUT_TORCH = {"ctranslate2": "module:Class"}


@pytest.mark.parametrize("engine", ["auto", "torch"])
@pytest.mark.parametrize("gpus", [1, 4])
def test_torch_on_cuda_gets_a_worker_for_each_gpu_and_large_batches(engine: str, gpus: int) -> None:
    expected = FrontEnd(batch_size=CUDA_BATCH_SIZE, workers=gpus)
    assert front_end_for(TranslationTask.engines, engine, gpus=gpus) == expected


@pytest.mark.parametrize(
    ("table", "engine", "gpus"),
    [
        (TranslationTask.engines, "auto", 0),
        (TranslationTask.engines, "torch", 0),
        (TranslationTask.engines, "ctranslate2", 1),
        (WITHOUT_TORCH, "auto", 1),
        ({}, "auto", 1),
    ],
)
def test_everywhere_else_the_numbers_of_the_archive_hold(table: dict[str, str], engine: str, gpus: int) -> None:
    assert front_end_for(table, engine, gpus=gpus) is None


def test_a_batch_on_cuda_is_a_quarter_of_the_engines_slots() -> None:
    assert SLOTS["cuda"] == 4 * CUDA_BATCH_SIZE


@pytest.fixture(scope="module")
def mar(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_mar(open_bundle(tiny_bundle), tmp_path_factory.mktemp("dist"))


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="this machine has a GPU")
def test_without_a_gpu_the_numbers_of_the_archive_hold(mar: Path) -> None:
    assert configured_front_end(mar) is None


def test_an_unpacked_archive_has_other_numbers_and_is_otherwise_the_same(mar: Path, tmp_path: Path) -> None:
    unpack(Archive.open(mar), tmp_path / "store", FrontEnd(batch_size=4, workers=1))

    with zipfile.ZipFile(mar) as archive:
        packed = {name: archive.read(name) for name in archive.namelist()}
    files = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    unpacked = {path.relative_to(tmp_path / "store").as_posix(): path.read_bytes() for path in files}
    before, after = yaml.safe_load(packed.pop(MODEL_CONFIG.name)), yaml.safe_load(unpacked.pop(MODEL_CONFIG.name))
    assert after == {**before, "batchSize": 4, "minWorkers": 1, "maxWorkers": 1}
    assert unpacked == packed


def test_a_damaged_archive_is_refused_with_what_to_do(mar: Path, tmp_path: Path) -> None:
    damaged = tmp_path / mar.name
    content = mar.read_bytes()
    position = content.index(b"minWorkers: 2")
    damaged.write_bytes(content[:position] + b"x" + content[position + 1 :])
    with pytest.raises(BundleError, match=r"is damaged \(Bad CRC-32.*package it again"):
        unpack(Archive.open(damaged), tmp_path / "store", FrontEnd(batch_size=4, workers=1))
