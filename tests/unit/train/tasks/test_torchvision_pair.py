"""torchvision beside a PyTorch that it was built for, and beside another."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT

DECLARED = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
PROGRAM = """
import sys, torch
sys.path.insert(0, {folder!r})
from train.tasks.torchvision_pair import pair_torchvision
pair_torchvision()
import torchvision
print(torch.ops.torchvision.nms.default._schema)
"""
# Any library that loads; torchvision's own would declare what the package's source declares here.
LOADABLE = Path(torch.__file__).parent / "lib" / "libtorch_global_deps.so"


def _imported(folder: Path, *, library: bytes | None, source: str) -> subprocess.CompletedProcess[str]:
    (folder / "torchvision").mkdir()
    (folder / "torchvision" / "__init__.py").write_text(f"import torch\n{source}\n")
    if library is not None:
        (folder / "torchvision" / "_C.so").write_bytes(library)
    command = [sys.executable, "-c", PROGRAM.format(folder=str(folder))]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_nothing_is_declared_where_the_compiled_part_loads(tmp_path: Path) -> None:
    own = "library = torch.library.Library('torchvision', 'DEF')\nlibrary.define('nms(Tensor boxes) -> int')"
    done = _imported(tmp_path, library=LOADABLE.read_bytes(), source=own)
    assert done.stdout.strip() == "torchvision::nms(Tensor boxes) -> int", done.stderr


@pytest.mark.parametrize("library", [None, b"built for another PyTorch"])
def test_operators_are_declared_where_their_absence_keeps_it_out(tmp_path: Path, library: bytes | None) -> None:
    source = "torch.library.register_fake('torchvision::nms', lambda *_: None)"
    done = _imported(tmp_path, library=library, source=source)
    assert done.stdout.strip() == f"torchvision::nms{DECLARED}", done.stderr


def test_another_failure_is_not_hidden(tmp_path: Path) -> None:
    done = _imported(tmp_path, library=None, source="raise RuntimeError('libcudart.so.13 is missing')")
    assert done.returncode == 1
    assert "libcudart.so.13 is missing" in done.stderr


def test_models_of_transformers_can_be_imported_beside_the_installed_one() -> None:
    from transformers import BertForSequenceClassification

    assert BertForSequenceClassification
