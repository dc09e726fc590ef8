"""torchvision beside a PyTorch that it was built for, and beside another."""

import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from tests.conftest import ROOT

# Any library that loads stands for a compiled part that fits, and a file that is none for one that does not.
LOADS = next(path for folder in sys.path for path in Path(folder).glob(f"*{EXTENSION_SUFFIXES[0]}"))
PROGRAM = """
import sys, torch
sys.path.insert(0, {folder!r})
from train.tasks.torchvision_pair import pair_torchvision
pair_torchvision()
pair_torchvision()
print(hasattr(torch.ops.torchvision, "nms"), hasattr(torch.ops.torchvision, "qnms"))
"""


@pytest.mark.parametrize(("compiled", "declared"), [(LOADS.read_bytes(), False), (b"built for another", True)])
def test_operators_are_declared_only_where_the_compiled_part_does_not_load(
    compiled: bytes, declared: bool, tmp_path: Path
) -> None:
    folder = tmp_path / "torchvision"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / f"_C{EXTENSION_SUFFIXES[0]}").write_bytes(compiled)
    command = [sys.executable, "-c", PROGRAM.format(folder=str(tmp_path))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [str(declared)] * 2, done.stderr


def test_models_of_transformers_can_be_imported_beside_the_installed_one() -> None:
    from transformers import BertForSequenceClassification

    assert BertForSequenceClassification
