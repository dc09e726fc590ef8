"""Dragoman's run-time core: one bundle, one inference core, the same answers from every server.

``dragoman.load("runs/demo/bundle")(["Where is the station?"])`` returns one result per text, in order.
"""

import importlib
from typing import TYPE_CHECKING, Any

from dragoman import errors

if TYPE_CHECKING:
    from dragoman.items.outcomes import Failure, Result
    from dragoman.predictor import Predictor, load

__all__ = ["Failure", "Predictor", "Result", "errors", "load"]


def __getattr__(name: str) -> Any:
    # Imported on first use, so that a command which only writes a file atomically does not load the predictor.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("dragoman.predictor"), name)
