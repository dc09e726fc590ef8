"""Put on PYTHONPATH, this makes the engine of a server fail for as long as the file exists that ENGINE_FAILS names."""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

ENGINE_MODULE = "dragoman.engines.ct2"


class Saboteur(importlib.abc.MetaPathFinder):
    """Lets others find the engine's module, and changes its class once it is loaded, wherever it came from."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find the engine's module as everyone else does, with another end to its loading."""
        if fullname != ENGINE_MODULE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        assert spec is not None
        assert spec.loader is not None
        load = spec.loader.exec_module

        def load_and_change(module: ModuleType) -> None:
            load(module)
            _let_fail(module)

        spec.loader.exec_module = load_and_change  # type: ignore[method-assign]
        return spec


def _let_fail(module: ModuleType) -> None:
    engine: Any = module.__dict__["CTranslate2Engine"]
    decode = engine.decode

    def decode_unless_told_to_fail(*arguments: Any, **options: Any) -> Any:
        if Path(os.environ["ENGINE_FAILS"]).exists():
            raise RuntimeError("the device is lost")
        return decode(*arguments, **options)

    engine.decode = decode_unless_told_to_fail


sys.meta_path.insert(0, Saboteur())
