"""A copy of a translation bundle with other weights, which is converted for CTranslate2 again."""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from ctranslate2.converters import TransformersConverter
from safetensors.torch import load_file, save_file

from dragoman.bundle.store import Bundle, write_bundle
from dragoman.engines.ct2 import CONVERSION, VOCABULARY_MAP

WEIGHTS = "model.safetensors"

Tensors = dict[str, torch.Tensor]


def rewrite(
    bundle: Bundle,
    destination: Path,
    change: Callable[[Tensors], Tensors],
    *,
    configuration: Mapping[str, Any] | None = None,
) -> Bundle:
    """Write a copy with changed tensors, and with other entries in the model's ``config.json`` where given.

    It has no scores, since those of the original are not its own.
    """
    manifest = bundle.manifest
    with tempfile.TemporaryDirectory(prefix="dragoman-rewrite-") as folder:
        model, converted = Path(folder) / "model", Path(folder) / CONVERSION
        shutil.copytree(bundle.model_dir, model)
        save_file(change(load_file(model / WEIGHTS)), model / WEIGHTS, metadata={"format": "pt"})
        (model / "config.json").write_text(
            json.dumps({**model_configuration(bundle), **(configuration or {})}, indent=2), encoding="utf-8"
        )
        TransformersConverter(str(model)).convert(str(converted), quantization="int8")
        # The pieces that the engine may answer with, where they are not all.
        if (vocabulary_map := bundle.engine_dir(CONVERSION) / VOCABULARY_MAP).exists():
            shutil.copy(vocabulary_map, converted)
        return write_bundle(
            destination,
            name=manifest.name,
            task=manifest.task,
            options=manifest.options,
            limits=manifest.limits,
            provenance=manifest.provenance,
            scores=[],
            model_dir=model,
            engines={CONVERSION: converted},
            config_yaml=(bundle.path / "config.yaml").read_text(encoding="utf-8"),
        )


def model_configuration(bundle: Bundle) -> dict[str, Any]:
    """The model's ``config.json``."""
    found: dict[str, Any] = json.loads((bundle.model_dir / "config.json").read_text(encoding="utf-8"))
    return found
