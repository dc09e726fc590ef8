"""Put on PYTHONPATH, this makes an environment that lacks everything a serving machine has no need of.

``BLOCKED_IMPORTS`` names further packages, with spaces between them: what only other tasks need.
"""

import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Sequence
from types import ModuleType

BLOCKED = {
    "torch",
    "transformers",
    "mlflow",
    "optuna",
    "datasets",
    "sacrebleu",
    "hydra",
    "accelerate",
    "timm",
    "torchvision",
    "sklearn",
    "onnxscript",
    "train",
    "model_registry",
    *os.environ.get("BLOCKED_IMPORTS", "").split(),
}


class Blocker(importlib.abc.MetaPathFinder):
    """Refuses to find the blocked packages."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find nothing, and say so for a blocked package."""
        if fullname.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {fullname!r} (blocked by a test)", name=fullname)
        return None


# The editable installation goes as well, so that the core can come from the Bento alone.
sys.meta_path[:] = [Blocker(), *(finder for finder in sys.meta_path if "__editable__" not in finder.__module__)]
