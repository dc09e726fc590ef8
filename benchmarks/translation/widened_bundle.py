"""Makes a small trained bundle as large as t5-small, with the same translations.

python -m benchmarks.translation.widened_bundle --bundle runs/<id>/bundle --out runs/wide/bundle

Speed depends on a model's geometry and on how long its translations are, quality on its training. A widened bundle has
the geometry of t5-small and the translations of the small model, so that both are measured with one bundle, without a
download. All that is added computes nothing: zeros beside the weights, layers that add zero to what passes through.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks.translation.rewritten_bundle import Tensors, model_configuration, rewrite
from dragoman.bundle.store import Bundle, open_bundle
from dragoman.errors import ConfigError, run_cli

EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """The sizes of a T5, by their names in its ``config.json``; the defaults are those of t5-small."""

    vocab_size: int = 32_128
    d_model: int = 512
    d_kv: int = 64
    d_ff: int = 2_048
    num_heads: int = 8
    num_layers: int = 6
    num_decoder_layers: int = 6


def widened(bundle: Bundle, destination: Path, geometry: Geometry) -> Bundle:
    """A copy of the given geometry that computes the same function.

    Raises ConfigError for a model that is larger somewhere, or of a T5 variant whose layers have other parts.
    """
    configuration = model_configuration(bundle)
    _check_variant(configuration)
    old = Geometry(**{name: configuration[name] for name in asdict(geometry)})
    wider = {name: size for name, size in asdict(geometry).items() if size < getattr(old, name)}
    if wider:
        raise ConfigError(f"the model is larger than what it should grow to: {old} does not fit where {wider}")
    return rewrite(
        bundle, destination, lambda tensors: _widened_tensors(tensors, old, geometry), configuration=asdict(geometry)
    )


def _check_variant(configuration: dict[str, object]) -> None:
    wanted = {"feed_forward_proj": "relu", "tie_word_embeddings": True}
    found = {name: configuration.get(name, value) for name, value in wanted.items()}
    if found != wanted:
        raise ConfigError(f"only the first T5 can be widened, with {wanted}; this model has {found}")


def _widened_tensors(tensors: Tensors, old: Geometry, new: Geometry) -> Tensors:
    wide = {name: _widened_tensor(name, tensor, old, new) for name, tensor in tensors.items()}
    for side, layers, wanted in (
        ("encoder", old.num_layers, new.num_layers),
        ("decoder", old.num_decoder_layers, new.num_decoder_layers),
    ):
        last = f"{side}.block.{layers - 1}."
        # The bias of relative positions belongs to the first layer, which all others take it from.
        for name in [name for name in wide if name.startswith(last) and "relative_attention_bias" not in name]:
            for layer in range(layers, wanted):
                wide[name.replace(last, f"{side}.block.{layer}.")] = _idle(name, wide[name])
    return wide


def _widened_tensor(name: str, tensor: torch.Tensor, old: Geometry, new: Geometry) -> torch.Tensor:
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
    if name.endswith(".o.weight"):
        return _widened_heads(tensor.T, old, new).T.contiguous()
    shapes: dict[str, Callable[[], torch.Tensor]] = {
        "relative_attention_bias": lambda: _padded(tensor, tensor.shape[0], new.num_heads),
        "q": lambda: _widened_heads(tensor, old, new),
        "k": lambda: _widened_heads(tensor, old, new),
        "v": lambda: _widened_heads(tensor, old, new),
        "wi": lambda: _padded(tensor, new.d_ff, new.d_model),
        "wo": lambda: _padded(tensor, new.d_model, new.d_ff),
    }
    return shapes[name.split(".")[-2]]()


def _padded(matrix: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    wide = torch.zeros(rows, columns)
    wide[: matrix.shape[0], : matrix.shape[1]] = matrix
    return wide


def _widened_heads(projection: torch.Tensor, old: Geometry, new: Geometry) -> torch.Tensor:
    """A projection (heads * d_kv, d_model) of a larger number of larger heads."""
    wide = torch.zeros(new.num_heads, new.d_kv, new.d_model)
    wide[: old.num_heads, : old.d_kv, : old.d_model] = projection.reshape(old.num_heads, old.d_kv, old.d_model)
    return wide.reshape(new.num_heads * new.d_kv, new.d_model)


def _idle(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """A copy for a layer that is computed like any other, and writes zeros into the residual stream."""
    return torch.zeros_like(tensor) if name.endswith((".o.weight", ".wo.weight")) else tensor.clone()


def main() -> None:
    """Parse the command line and write the copy."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.translation.widened_bundle", description=__doc__)
    parser.add_argument("--bundle", required=True, type=Path, help="a bundle smaller than t5-small")
    parser.add_argument("--out", required=True, type=Path, help="where the copy goes")
    options = parser.parse_args()
    print(f"bundle: {widened(open_bundle(options.bundle), options.out, Geometry()).path}")


if __name__ == "__main__":
    run_cli(main)
