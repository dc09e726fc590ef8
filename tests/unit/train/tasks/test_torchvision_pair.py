"""torchvision beside a PyTorch that it was built for, and beside another."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

DECLARED = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
PROGRAM = """
import sys, torch
sys.path.insert(0, {folder!r})
from train.tasks.torchvision_pair import import_torchvision
import_torchvision()
print(torch.ops.torchvision.nms.default._schema)
"""


def _imported(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    (folder / "torchvision").mkdir()
    (folder / "torchvision" / "__init__.py").write_text(f"import torch\n{source}\n")
    command = [sys.executable, "-c", PROGRAM.format(folder=str(folder))]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_nothing_is_declared_where_the_compiled_part_loads(tmp_path: Path) -> None:
    own = "library = torch.library.Library('torchvision', 'DEF')\nlibrary.define('nms(Tensor boxes) -> int')"
    done = _imported(tmp_path, own)
    assert done.stdout.strip() == "torchvision::nms(Tensor boxes) -> int", done.stderr


def test_operators_are_declared_where_their_absence_keeps_it_out(tmp_path: Path) -> None:
    done = _imported(tmp_path, "torch.library.register_fake('torchvision::nms', lambda *_: None)")
    assert done.stdout.strip() == f"torchvision::nms{DECLARED}", done.stderr


def test_another_failure_is_not_hidden(tmp_path: Path) -> None:
    done = _imported(tmp_path, "raise RuntimeError('libcudart.so.13 is missing')")
    assert done.returncode == 1
    assert "libcudart.so.13 is missing" in done.stderr


def test_models_of_transformers_can_be_imported_beside_the_installed_one() -> None:
    from transformers import BertForSequenceClassification

    assert BertForSequenceClassification
