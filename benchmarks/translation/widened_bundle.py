"""A command that makes a small trained bundle as large as t5-small, with the same translations.

python -m benchmarks.translation.widened_bundle --bundle runs/<id>/bundle --out runs/wide/bundle

Speed depends on a model's geometry and on the length of its translations, quality on its training. A widened bundle has
the geometry of t5-small and the translations of the small model, so both are measured with one bundle and without a
download. All added parts compute nothing: zeros beside the weights, layers that add zero to the residual stream.
"""

import argparse
import dataclasses
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from ctranslate2.converters import TransformersConverter
from safetensors.torch import load_file, save_file

from dragoman.bundle.store import Bundle, open_bundle, write_bundle
from dragoman.engines.ct2 import VOCABULARY_MAP
from dragoman.engines.ct2_batches import CONVERSION
from dragoman.engines.t5.weights import T5Sizes
from dragoman.errors import ConfigError, run_cli

WEIGHTS = "model.safetensors"
EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")
# The sizes of t5-small, by their names in config.json.
T5_SMALL = {
    "vocab_size": 32_128,
    "d_model": 512,
    "d_kv": 64,
    "d_ff": 2_048,
    "num_heads": 8,
    "num_layers": 6,
    "num_decoder_layers": 6,
}
# Of later T5s the layers have other parts.
VARIANT = {"feed_forward_proj": "relu", "tie_word_embeddings": True}

Tensors = dict[str, torch.Tensor]


def widened(bundle: Bundle, destination: Path, sizes: Mapping[str, int]) -> Bundle:
    """Write a copy with these sizes that computes the same function, converted for CTranslate2 again.

    It has no scores, since those of the original are not its own. Raises ConfigError for a model that is larger
    somewhere, or of a T5 variant whose layers have other parts.
    """
    configuration = json.loads((bundle.model_dir / "config.json").read_text(encoding="utf-8"))
    found = {name: configuration.get(name, value) for name, value in VARIANT.items()}
    if found != VARIANT:
        raise ConfigError(f"only the first T5 can be widened, with {VARIANT}; this model has {found}")
    old = T5Sizes.from_config(configuration)
    smaller = {name: size for name, size in sizes.items() if size < getattr(old, name)}
    if smaller:
        raise ConfigError(f"the model is larger than what it should grow to: {old} does not fit where {smaller}")
    new = dataclasses.replace(old, **dict[str, Any](sizes))
    manifest = bundle.manifest
    with tempfile.TemporaryDirectory(prefix="dragoman-widened-") as folder:
        model, converted = Path(folder) / "model", Path(folder) / CONVERSION
        shutil.copytree(bundle.model_dir, model)
        save_file(_widened_tensors(load_file(model / WEIGHTS), old, new), model / WEIGHTS, metadata={"format": "pt"})
        (model / "config.json").write_text(json.dumps({**configuration, **sizes}, indent=2), encoding="utf-8")
        TransformersConverter(str(model)).convert(str(converted), quantization="int8")
        vocabulary_map = bundle.engine_dir(CONVERSION) / VOCABULARY_MAP
        if vocabulary_map.exists():
            # The pieces that the engine may answer with, where they are not all.
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


def _widened_tensors(tensors: Tensors, old: T5Sizes, new: T5Sizes) -> Tensors:
    wide = {name: _widened_tensor(name, tensor, old, new) for name, tensor in tensors.items()}
    for side, layers, wanted in (
        ("encoder", old.num_layers, new.num_layers),
        ("decoder", old.num_decoder_layers, new.num_decoder_layers),
    ):
        last = f"{side}.block.{layers - 1}."
        # The bias of relative positions belongs to the first layer, which all others take it from.
        for name in [name for name in wide if name.startswith(last) and "relative_attention_bias" not in name]:
            for layer in range(layers, wanted):
                # An added layer is computed like any other, and writes zeros into the residual stream.
                writes = name.endswith((".o.weight", ".wo.weight"))
                copy = torch.zeros_like(wide[name]) if writes else wide[name].clone()
                wide[name.replace(last, f"{side}.block.{layer}.")] = copy
    return wide


def _widened_tensor(name: str, tensor: torch.Tensor, old: T5Sizes, new: T5Sizes) -> torch.Tensor:
    if name in EMBEDDINGS:
        wide = _padded(tensor, new.vocab_size, new.d_model)
        # Rows of zeros would have a logit of zero, which may be the highest; those of padding are never chosen.
        wide[tensor.shape[0] :] = wide[0]
        return wide
    if name.endswith("layer_norm.weight"):
        wide = torch.zeros(new.d_model)
        # The mean square is taken over more entries now, the added ones being zero.
        wide[: old.d_model] = tensor * math.sqrt(old.d_model / new.d_model)
        # Tied embeddings scale the last state by the root of the width, which has grown by as much.
        return wide * math.sqrt(new.d_model / old.d_model) if name == "decoder.final_layer_norm.weight" else wide
    shapes: dict[str, Callable[[], torch.Tensor]] = {
        "relative_attention_bias": lambda: _padded(tensor, tensor.shape[0], new.num_heads),
        "q": lambda: _widened_heads(tensor, old, new),
        "k": lambda: _widened_heads(tensor, old, new),
        "v": lambda: _widened_heads(tensor, old, new),
        "o": lambda: _widened_heads(tensor.T, old, new).T.contiguous(),
        "wi": lambda: _padded(tensor, new.d_ff, new.d_model),
        "wo": lambda: _padded(tensor, new.d_model, new.d_ff),
    }
    return shapes[name.split(".")[-2]]()


def _padded(matrix: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    wide = torch.zeros(rows, columns)
    wide[: matrix.shape[0], : matrix.shape[1]] = matrix
    return wide


def _widened_heads(projection: torch.Tensor, old: T5Sizes, new: T5Sizes) -> torch.Tensor:
    """Widen a projection (heads * d_kv, d_model) to more and larger heads."""
    wide = torch.zeros(new.num_heads, new.d_kv, new.d_model)
    wide[: old.num_heads, : old.d_kv, : old.d_model] = projection.reshape(old.num_heads, old.d_kv, old.d_model)
    return wide.reshape(new.num_heads * new.d_kv, new.d_model)


def main() -> None:
    """Parse the command line and write the copy."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.translation.widened_bundle", description=__doc__)
    parser.add_argument("--bundle", required=True, type=Path, help="a bundle smaller than t5-small")
    parser.add_argument("--out", required=True, type=Path, help="the directory of the copy")
    options = parser.parse_args()
    print(f"bundle: {widened(open_bundle(options.bundle), options.out, T5_SMALL).path}")


if __name__ == "__main__":
    run_cli(main)
