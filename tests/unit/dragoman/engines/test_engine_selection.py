"""The choice of the engine by the names of a table, the packages installed, and the presence of CUDA."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from dragoman.bundle.store import open_bundle
from dragoman.engines.selection import configured_engine, open_engine, select_engine, torch_gpu_count, torch_sees_cuda
from dragoman.errors import ConfigError
from dragoman.tasks.translation.task import TranslationTask
from tests.conftest import ROOT

TABLE = {
    "ctranslate2": "tests.unit.dragoman.engines.test_engine_selection:Willing",
    "torch": "tests.unit.dragoman.engines.test_engine_selection:Unwilling",
    "missing": "no_such_package.engine:Engine",
}


@dataclass
class Willing:
    """An engine that opens any bundle."""

    bundle: object
    device: str
    size: int

    @staticmethod
    def cannot_open(bundle: object) -> str | None:
        return None


class Unwilling(Willing):
    """An engine that opens none."""

    @staticmethod
    def cannot_open(bundle: object) -> str | None:
        return "torch wants other weights"


@pytest.mark.parametrize(
    ("problems", "cuda", "chosen"),
    [
        ({}, False, "ctranslate2"),
        ({}, True, "torch"),
        ({"torch": "not installed"}, True, "ctranslate2"),
        ({"ctranslate2": "not installed"}, False, "torch"),
        ({"ctranslate2": "not installed"}, True, "torch"),
        ({"torch": "not installed"}, False, "ctranslate2"),
    ],
)
def test_torch_is_first_on_cuda_and_last_without(problems, cuda, chosen):
    for names in (["ctranslate2", "torch"], ["torch", "ctranslate2"]):
        assert select_engine(names, problems.get, cuda=cuda) == chosen


def test_engines_other_than_torch_keep_the_order_of_their_table():
    assert select_engine(["onnx", "torch", "ctranslate2"], {}.get, cuda=False) == "onnx"
    assert select_engine(["onnx", "torch", "ctranslate2"], {"torch": "no"}.get, cuda=True) == "onnx"


def test_an_engine_after_the_chosen_one_is_not_even_looked_at():
    asked = []
    select_engine(["ctranslate2", "torch"], asked.append, cuda=False)
    assert asked == ["ctranslate2"]


def test_where_no_engine_can_run_all_reasons_are_given(tiny_bundle):
    table = {name: TABLE[name] for name in ("torch", "missing")}
    with pytest.raises(ConfigError, match=r"missing is not installed .*; torch wants other weights; pip install"):
        open_engine(table, open_bundle(tiny_bundle), engine="auto", device="cpu", size=3)


def test_an_engine_gets_the_arguments_of_its_task():
    opened = open_engine(TABLE, "a bundle", engine="auto", device="cpu", size=3)
    assert vars(opened) == {"bundle": "a bundle", "device": "cpu", "size": 3}


@pytest.mark.parametrize(("names", "message"), [
    ({"engine": "onnx", "device": "cpu"}, "engine must be auto, ctranslate2 or torch or missing, got 'onnx'"),
    ({"engine": "auto", "device": "tpu"}, "device must be one of auto, cpu, cuda, got 'tpu'"),
])  # fmt: skip
def test_a_name_that_is_unknown_is_refused_with_those_that_are_not(names, message):
    with pytest.raises(ConfigError, match=message):
        open_engine(TABLE, "a bundle", **names)


def test_without_a_driver_torch_is_not_asked(tmp_path):
    program = (
        "import sys; from pathlib import Path; from dragoman.engines.selection import torch_sees_cuda;"
        f"print(torch_sees_cuda([Path({str(tmp_path / 'nvidiactl')!r})]), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["False", "False"]


def test_beside_a_driver_torch_has_the_word(tmp_path, monkeypatch):
    import torch

    (tmp_path / "nvidiactl").touch()
    for there in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert torch_sees_cuda([tmp_path / "nvidiactl"]) is there


def test_gpus_are_counted_only_where_torch_sees_cuda(tmp_path, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert torch_gpu_count([tmp_path / "nvidiactl"]) == 0
    (tmp_path / "nvidiactl").touch()
    assert torch_gpu_count([tmp_path / "nvidiactl"]) == 2


def test_a_torch_that_is_broken_sees_no_cuda(tmp_path, monkeypatch):
    import torch

    def broken() -> bool:
        raise RuntimeError("CUDA driver initialization failed")

    (tmp_path / "nvidiactl").touch()
    monkeypatch.setattr(torch.cuda, "is_available", broken)
    assert torch_sees_cuda([tmp_path / "nvidiactl"]) is False


def test_an_engine_that_lacks_a_shared_library_is_not_installed(tiny_bundle, tmp_path, monkeypatch):
    (tmp_path / "lacking.py").write_text("raise OSError('libcublas.so.12: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    table = {"lacking": "lacking:Engine", **TABLE}
    assert open_engine(table, "a bundle", engine="auto", device="cpu", size=3).size == 3
    with pytest.raises(ConfigError, match=r"lacking is not installed \(libcublas"):
        open_engine(table, open_bundle(tiny_bundle), engine="lacking", device="cpu", size=3)


def test_the_environment_names_an_engine_or_none(monkeypatch):
    monkeypatch.delenv("DRAGOMAN_ENGINE", raising=False)
    assert configured_engine(TranslationTask.engines) == "auto"
    for name in ("auto", "ctranslate2", "torch"):
        monkeypatch.setenv("DRAGOMAN_ENGINE", name)
        assert configured_engine(TranslationTask.engines) == name
    monkeypatch.setenv("DRAGOMAN_ENGINE", "onnx")
    with pytest.raises(ConfigError, match="DRAGOMAN_ENGINE must be auto or ctranslate2 or torch, got 'onnx'"):
        configured_engine(TranslationTask.engines)


def test_an_engine_that_is_not_installed_is_refused_before_anything_is_imported(monkeypatch):
    monkeypatch.setenv("DRAGOMAN_ENGINE", "missing")
    with pytest.raises(ConfigError, match="DRAGOMAN_ENGINE is missing, which is not installed here; pip install"):
        configured_engine(TABLE)


def test_a_server_without_cuda_translates_without_torch(tiny_bundle: Path):
    program = (
        f"import sys, dragoman; predictor = dragoman.load({str(tiny_bundle)!r}, device='cpu');"
        "print(predictor.describe()['engine'], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["ctranslate2", "False"]
