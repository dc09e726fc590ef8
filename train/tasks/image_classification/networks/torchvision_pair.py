"""timm, which imports torchvision."""

import importlib
from typing import Any

from train.tasks.torchvision_pair import import_torchvision


def import_timm() -> Any:
    """Import timm, also where torchvision does not load by itself."""
    import_torchvision()
    return importlib.import_module("timm")
