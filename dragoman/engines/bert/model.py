"""The forward pass of a BERT in plain PyTorch, up to its pooled output."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's own documentation gives it
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from dragoman.bundle.weights import read_tensors
from dragoman.errors import BundleError

# By their names in config.json, with the form of GELU that each means.
ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
}


@dataclass(frozen=True, kw_only=True)
class BertSizes:
    """The sizes and variants of a BERT, named as its ``config.json`` names them."""

    num_hidden_layers: int
    num_attention_heads: int
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12
    position_embedding_type: str = "absolute"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Read the values of ``config.json``; raises BundleError for a missing key or a variant unknown here."""
        known = {name: config[name] for name in cls.__dataclass_fields__ if config.get(name) is not None}
        try:
            sizes = cls(**known)
        except TypeError as error:
            raise BundleError(f"config.json lacks a size of BERT: {error}") from error
        if sizes.hidden_act not in ACTIVATIONS or sizes.position_embedding_type != "absolute":
            raise BundleError(
                f"config.json has hidden_act {sizes.hidden_act!r} and position_embedding_type "
                f"{sizes.position_embedding_type!r}; the torch engine computes {', '.join(ACTIVATIONS)}, and absolute"
            )
        return sizes


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A linear layer; the matrix is (out, in)."""

    weight: Tensor
    bias: Tensor

    def __call__(self, values: Tensor) -> Tensor:
        """Compute the layer."""
        return F.linear(values, self.weight, self.bias)


@dataclass(frozen=True, kw_only=True)
class Norm:
    """A layer norm."""

    weight: Tensor
    bias: Tensor
    epsilon: float

    def __call__(self, values: Tensor) -> Tensor:
        """Normalise the last dimension."""
        return F.layer_norm(values, self.weight.shape, self.weight, self.bias, self.epsilon)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer; ``project`` holds queries, keys and values one after the other."""

    project: Linear
    out: Linear
    attention_norm: Norm
    up: Linear
    down: Linear
    norm: Norm


class BertEncoder:
    """The weights of a BERT on a device, and their forward pass; ``head`` holds those of the classifier, by name."""

    def __init__(self, sizes: BertSizes, tensors: Mapping[str, Tensor], *, device: str, dtype: torch.dtype) -> None:
        """Arrange the tensors of a Hugging Face BERT for sequence classification; raises KeyError for one missing."""

        def ready(name: str) -> Tensor:
            return tensors[name].to(device, dtype).contiguous()

        def linear(*names: str) -> Linear:
            weight, bias = (torch.cat([ready(f"{name}.{part}") for name in names]) for part in ("weight", "bias"))
            return Linear(weight=weight, bias=bias)

        def norm(name: str) -> Norm:
            name = f"{name}.LayerNorm"
            return Norm(weight=ready(f"{name}.weight"), bias=ready(f"{name}.bias"), epsilon=sizes.layer_norm_eps)

        def layer(name: str) -> Layer:
            attention = f"{name}.attention"
            return Layer(
                project=linear(*(f"{attention}.self.{part}" for part in ("query", "key", "value"))),
                out=linear(f"{attention}.output.dense"),
                attention_norm=norm(f"{attention}.output"),
                up=linear(f"{name}.intermediate.dense"),
                down=linear(f"{name}.output.dense"),
                norm=norm(f"{name}.output"),
            )

        self._sizes = sizes
        self._activation = ACTIVATIONS[sizes.hidden_act]
        embeddings = "bert.embeddings"
        self._words = ready(f"{embeddings}.word_embeddings.weight")
        # All tokens of a single text are of the first type, so its row can be added to the places once.
        types = ready(f"{embeddings}.token_type_embeddings.weight")
        self._places = ready(f"{embeddings}.position_embeddings.weight") + types[0]
        self._embedding_norm = norm(embeddings)
        self._layers = [layer(f"bert.encoder.layer.{index}") for index in range(sizes.num_hidden_layers)]
        self._pooler = linear("bert.pooler.dense")
        self.head = {
            name: tensor.float().cpu().numpy() for name, tensor in tensors.items() if name.startswith("classifier.")
        }

    def pooled(self, ids: Tensor, lengths: Tensor | None) -> Tensor:
        """Return the pooled outputs (rows, width) of ids (rows, tokens), of which ``lengths`` are real, or all."""
        rows, width = ids.shape
        hidden = self._embedding_norm(F.embedding(ids, self._words) + self._places[:width])
        mask = None
        if lengths is not None:
            mask = (torch.arange(width, device=ids.device) < lengths[:, None])[:, None, None, :]
        for layer in self._layers:
            parts = layer.project(hidden).view(rows, width, 3, self._sizes.num_attention_heads, -1)
            query, key, value = parts.permute(2, 0, 3, 1, 4)
            attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
            joined = attended.transpose(1, 2).reshape(rows, width, -1)
            hidden = layer.attention_norm(hidden + layer.out(joined))
            hidden = layer.norm(hidden + layer.down(self._activation(layer.up(hidden))))
        return torch.tanh(self._pooler(hidden[:, 0]))


def load_encoder(model_dir: Path, *, device: str, dtype: torch.dtype) -> BertEncoder:
    """Read ``config.json`` and the safetensors; raises BundleError when they are no BERT's."""
    try:
        sizes = BertSizes.from_config(json.loads((model_dir / "config.json").read_text(encoding="utf-8")))
        return BertEncoder(sizes, read_tensors(model_dir, load_file), device=device, dtype=dtype)
    except (OSError, ValueError, SafetensorError) as error:
        raise BundleError(f"cannot load the weights of {model_dir}: {error}") from error
    except KeyError as error:
        raise BundleError(
            f"the weights of {model_dir} lack {error}; they are not those of a BERT for sequence classification"
        ) from error
