"""torchvision, also where its compiled part does not load beside this PyTorch.

timm imports it, and so does transformers, where it is installed, with every model. Its wheel on PyPI is built for
PyTorch with CUDA. Beside PyTorch for CPUs its compiled part stays out, and its import then fails for one reason alone:
it attaches Python functions to two operators whose names nothing has declared. Declared, and never called, they keep
nothing from working that is needed here.
"""

import contextlib
import importlib
import sys
from typing import Any

import torch

# Of torchvision 0.28.0, which pyproject.toml pins: another version may want other names.
OPERATORS = ("nms", "qnms")
SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
# Declarations last as long as the object that made them.
_declared: list[Any] = []


def import_torchvision() -> None:
    """Import torchvision where it is installed, so that whatever imports it later finds it done."""
    with contextlib.suppress(ModuleNotFoundError):
        try:
            importlib.import_module("torchvision")
        except RuntimeError as error:
            # Where the compiled part loads it declares the same names, so nothing is declared before it has failed.
            if "torchvision::" not in str(error):
                raise
            for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
                del sys.modules[name]
            library: Any = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
            for operator in OPERATORS:
                library.define(f"{operator}{SCHEMA}")
            _declared.append(library)
            importlib.import_module("torchvision")
