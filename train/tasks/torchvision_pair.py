"""torchvision beside a PyTorch that its compiled part was not built for.

timm needs torchvision, and transformers imports it where it is installed. On PyPI its compiled part is built for
PyTorch with CUDA. Beside PyTorch for CPUs that part does not load, and importing torchvision then fails, for one reason
alone: it attaches Python functions to two operators whose names nobody has declared. Declared here, and never called,
they leave everything working that is plain Python, which is all that anybody needs of it here.
"""

import importlib.util
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

# Of torchvision 0.28.0, which pyproject.toml pins: another version may want other names.
SCHEMA = "{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
OPERATORS = ("nms", "qnms")
# Declarations last as long as the object that made them.
_declared: list[Any] = []


def pair_torchvision() -> None:
    """Declare torchvision's operators where its own library, which would declare them, does not load."""
    found = importlib.util.find_spec("torchvision")
    if _declared or found is None or not found.submodule_search_locations:
        return
    import torch

    folder = Path(found.submodule_search_locations[0])
    library = next((folder / f"_C{end}" for end in EXTENSION_SUFFIXES if (folder / f"_C{end}").is_file()), None)
    try:
        if library is not None:
            # What torchvision does first of all; where it succeeds, it may be done twice.
            torch.ops.load_library(library)  # type: ignore[no-untyped-call]
            return
    except OSError:
        pass
    declared = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in OPERATORS:
        declared.define(SCHEMA.format(name=name))  # type: ignore[no-untyped-call]
    _declared.append(declared)
