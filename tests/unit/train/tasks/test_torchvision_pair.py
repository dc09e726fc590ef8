import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT
from train.tasks import torchvision_pair

# Declares the operators as the library of a torchvision that fits does.
LOADED = """
import importlib.util, sys
from pathlib import Path
import torch
from train.tasks import torchvision_pair

class Found:
    submodule_search_locations = [sys.argv[1]]

importlib.util.find_spec = lambda name: Found()
torchvision_pair.pair_torchvision()
library = torch.library.Library("torchvision", "DEF")
library.define(torchvision_pair.SCHEMA.format(name="nms"))
print(len(torchvision_pair._declared))
"""


def output_of(code: str, *arguments: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return found.stdout + found.stderr


def test_nothing_is_declared_where_the_library_of_torchvision_loads(tmp_path: Path) -> None:
    # Any library at all that loads stands for it.
    (library,) = Path(torch.__file__).parent.glob("_C*.so")
    shutil.copy(library, tmp_path / "_C.so")
    assert output_of(LOADED, str(tmp_path)).splitlines()[-1] == "0"


def test_the_operators_are_declared_once_where_it_does_not_load(tmp_path: Path) -> None:
    (tmp_path / "_C.so").write_bytes(b"no library")
    code = "\n".join(line for line in LOADED.splitlines() if not line.startswith("library"))
    assert output_of(code, str(tmp_path)).splitlines()[-1] == "1"


def test_without_torchvision_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    declared: list[object] = []
    monkeypatch.setattr(torchvision_pair, "_declared", declared)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    torchvision_pair.pair_torchvision()
    assert declared == []
