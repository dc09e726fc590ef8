"""timm, also where torchvision's compiled part does not load beside this torch.

timm imports torchvision, whose wheel on PyPI is built for PyTorch with CUDA. Beside PyTorch for CPUs its compiled part
stays out, and torchvision's import then fails, for one reason alone: it attaches Python functions to two operators
whose names nothing has declared. Declared, and never called, they keep nothing from working that timm needs.
"""

import importlib
import sys
from typing import Any

import torch

# Of torchvision 0.28.0, which pyproject.toml pins: another version may want other names.
SCHEMAS = ("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
           "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
# Declarations last as long as the object that made them.
_declared: list[Any] = []


def import_timm() -> Any:
    """Import timm, after declaring torchvision's operators where its own import has failed for want of them."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        # Where the compiled part loads it declares the same names, so nothing is declared before it has failed.
        if "torchvision::" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for schema in SCHEMAS:
            library.define(schema)
        _declared.append(library)
        importlib.import_module("torchvision")
    return importlib.import_module("timm")
