"""T5's weights as plain tensors: read from safetensors, with the projections fused that are used together."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from dragoman.bundle.weights import read_tensors
from dragoman.errors import BundleError

ACTIVATIONS = ("relu", "gated-gelu")


@dataclass(frozen=True, kw_only=True)
class T5Sizes:
    """The sizes and variants of a T5, named as its ``config.json`` names them."""

    vocab_size: int
    d_model: int
    d_kv: int
    d_ff: int
    num_heads: int
    num_layers: int
    num_decoder_layers: int
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    layer_norm_epsilon: float = 1e-6
    feed_forward_proj: str = "relu"
    scale_decoder_outputs: bool = True

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Read the values of ``config.json``; raises BundleError for a missing key or a variant unknown here."""
        known = {name: config[name] for name in cls.__dataclass_fields__ if config.get(name) is not None}
        known.setdefault("num_decoder_layers", known.get("num_layers"))
        # T5 1.0 scales what its tied head reads; older files say so only by tying.
        known.setdefault("scale_decoder_outputs", config.get("tie_word_embeddings") is not False)
        try:
            sizes = cls(**known)
        except TypeError as error:
            raise BundleError(f"config.json lacks a size of T5: {error}") from error
        if sizes.feed_forward_proj not in ACTIVATIONS:
            raise BundleError(
                f"config.json has feed_forward_proj {sizes.feed_forward_proj!r}; "
                f"the torch engine computes {' and '.join(ACTIVATIONS)}"
            )
        return sizes

    @property
    def d_inner(self) -> int:
        """Return the width of all heads together."""
        return self.num_heads * self.d_kv


@dataclass(frozen=True, kw_only=True)
class Attention:
    """One attention block: ``project`` holds q, k and v of self-attention, q alone of cross-attention."""

    norm: Tensor
    project: Tensor
    out: Tensor


@dataclass(frozen=True, kw_only=True)
class FeedForward:
    """One feed-forward block; ``wi`` holds the gate and the value one after the other where there is a gate."""

    norm: Tensor
    wi: Tensor
    wo: Tensor


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer of the encoder, or of the decoder, which has cross-attention."""

    attention: Attention
    cross: Attention | None
    feed_forward: FeedForward


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The encoder or the decoder; ``bias`` is (heads, buckets) of relative positions, float32 on the host."""

    layers: tuple[Layer, ...]
    norm: Tensor
    bias: Tensor


@dataclass(frozen=True, kw_only=True)
class T5Weights:
    """All weights of a model.

    Matrices are (out, in); ``source_kv`` projects the keys and values of all cross-attentions at once.
    """

    sizes: T5Sizes
    embedding: Tensor
    head: Tensor
    encoder: Stack
    decoder: Stack
    source_kv: Tensor


def load_weights(model_dir: Path, *, device: str, dtype: torch.dtype) -> T5Weights:
    """Read ``config.json`` and the safetensors, in one file or in shards; raises BundleError when they are no T5's."""
    try:
        sizes = T5Sizes.from_config(json.loads((model_dir / "config.json").read_text(encoding="utf-8")))
        tensors = read_tensors(model_dir, load_file)
        return fuse(sizes, {name: tensor.float() for name, tensor in tensors.items()}, device=device, dtype=dtype)
    except (OSError, ValueError, SafetensorError) as error:
        raise BundleError(f"cannot load the weights of {model_dir}: {error}") from error
    except KeyError as error:
        raise BundleError(f"the weights of {model_dir} lack {error}; they are not those of a T5") from error


def fuse(sizes: T5Sizes, tensors: Mapping[str, Tensor], *, device: str, dtype: torch.dtype) -> T5Weights:
    """Arrange the tensors of a Hugging Face T5 (float32, by name) for decoding; raises KeyError for one missing."""

    def ready(tensor: Tensor) -> Tensor:
        return tensor.to(device, dtype).contiguous()

    def attention(block: str, kind: str, norm: str) -> Attention:
        parts = "q" if kind == "EncDecAttention" else "qkv"
        return Attention(
            norm=ready(tensors[f"{norm}.layer_norm.weight"]),
            project=ready(torch.cat([tensors[f"{block}.{kind}.{part}.weight"] for part in parts])),
            out=ready(tensors[f"{block}.{kind}.o.weight"]),
        )

    def feed_forward(block: str) -> FeedForward:
        inner = ["wi"] if sizes.feed_forward_proj == "relu" else ["wi_0", "wi_1"]
        return FeedForward(
            norm=ready(tensors[f"{block}.layer_norm.weight"]),
            wi=ready(torch.cat([tensors[f"{block}.DenseReluDense.{name}.weight"] for name in inner])),
            wo=ready(tensors[f"{block}.DenseReluDense.wo.weight"]),
        )

    def layer(block: str, *, cross: bool) -> Layer:
        sublayers = [f"{block}.layer.{index}" for index in range(3 if cross else 2)]
        return Layer(
            attention=attention(sublayers[0], "SelfAttention", sublayers[0]),
            cross=attention(sublayers[1], "EncDecAttention", sublayers[1]) if cross else None,
            feed_forward=feed_forward(sublayers[-1]),
        )

    def stack(name: str, count: int, *, scale: float) -> Stack:
        decoder = name == "decoder"
        bias = tensors[f"{name}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
        return Stack(
            layers=tuple(layer(f"{name}.block.{index}", cross=decoder) for index in range(count)),
            norm=ready(tensors[f"{name}.final_layer_norm.weight"] * scale),
            bias=bias.t().contiguous(),
        )

    # The scale of the output is multiplied into the last norm: one kernel less a step.
    scale = sizes.d_model**-0.5 if sizes.scale_decoder_outputs else 1.0
    source_kv = [
        tensors[f"decoder.block.{index}.layer.1.EncDecAttention.{part}.weight"]
        for index in range(sizes.num_decoder_layers)
        for part in "kv"
    ]
    embedding = ready(tensors["shared.weight"])
    return T5Weights(
        sizes=sizes,
        embedding=embedding,
        head=ready(tensors["lm_head.weight"]) if "lm_head.weight" in tensors else embedding,
        encoder=stack("encoder", sizes.num_layers, scale=1.0),
        decoder=stack("decoder", sizes.num_decoder_layers, scale=scale),
        source_kv=ready(torch.cat(source_kv)),
    )


def relative_bias(stack_bias: Tensor, offsets: Tensor, sizes: T5Sizes, *, bidirectional: bool) -> Tensor:
    """Return T5's bias of each relative position (key minus query): (heads, *offsets.shape), in float32 on the CPU.

    Near positions have a bucket each; further ones share buckets that widen with the logarithm of the distance.
    """
    buckets = sizes.relative_attention_num_buckets
    bucket = torch.zeros_like(offsets)
    if bidirectional:
        buckets //= 2
        bucket = (offsets > 0).long() * buckets
        distance = offsets.abs()
    else:
        distance = (-offsets).clamp(min=0)
    exact = buckets // 2
    logarithm = torch.log(distance.float() / exact) / math.log(sizes.relative_attention_max_distance / exact)
    far = (exact + (logarithm.clamp(min=0) * (buckets - exact)).long()).clamp(max=buckets - 1)
    bucket = bucket + torch.where(distance < exact, distance, far)
    return stack_bias[:, bucket]
