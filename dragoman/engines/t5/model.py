"""The two computations of a T5: encoding a batch of sources, and one step of the decoder over static caches."""

import contextlib
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's own documentation gives it
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from dragoman.engines.t5.weights import Attention, FeedForward, T5Weights, relative_bias

# Caches and masks have sizes of this multiple, so that fused attention reads them without copying them first.
ALIGNMENT = 32


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """The encoder's output for a batch of sources, as the decoder reads it.

    ``keys_values`` is (layers, 2, sources, heads, width, d_kv); ``lengths`` (sources) counts the tokens of each.
    """

    keys_values: Tensor
    lengths: Tensor


class T5Model:
    """A T5 for sources of at most ``max_source`` tokens and targets of at most ``max_target``, ends included.

    The result of a block is added to the hidden states in place, by the matrix product itself.
    """

    def __init__(self, weights: T5Weights, *, max_source: int, max_target: int) -> None:
        self.weights = weights
        self.max_source, self.max_target = max_source, max_target
        self.source_capacity = _aligned(max_source)
        # One position more than any target has: a slot that has ended goes on writing there.
        self.target_capacity = _aligned(max_target + 1)
        self.device, self.dtype = weights.embedding.device, weights.embedding.dtype
        # The encoder's bias (heads, offsets) of every offset (key minus query), the most negative first.
        offsets = torch.arange(1 - self.source_capacity, self.source_capacity)
        bias = relative_bias(weights.encoder.bias, offsets, weights.sizes, bidirectional=True)
        self._encoder_bias = bias.to(self.device, self.dtype)
        # The decoder's bias (queries, heads, keys), with later positions masked.
        places = torch.arange(self.target_capacity)
        offsets = places[None, :] - places[:, None]
        bias = relative_bias(weights.decoder.bias, offsets, weights.sizes, bidirectional=False)
        bias = bias.masked_fill(offsets > 0, float("-inf")).transpose(0, 1).contiguous()
        self._decoder_bias = bias.to(self.device, self.dtype)

    def send(self, values: Tensor) -> Tensor:
        """Copy values of the host to the device, without waiting for the work that the device has in flight."""
        return values if self.device.type == "cpu" else values.pin_memory().to(self.device, non_blocking=True)

    def encode(self, ids: Tensor, lengths: Tensor) -> Encoded:
        """Encode padded sources, ids (sources, width) of which ``lengths`` (sources) are real."""
        weights, sizes = self.weights, self.weights.sizes
        count, width = ids.shape
        places = torch.arange(width, device=self.device)
        bias = self._encoder_bias[:, places[None, :] - places[:, None] + self.source_capacity - 1]
        padding = places[None, :] >= lengths[:, None]
        bias = bias[None].masked_fill(padding[:, None, None, :], float("-inf"))
        hidden = F.embedding(ids, weights.embedding).flatten(0, 1)
        for layer in weights.encoder.layers:
            qkv = self._project(hidden, layer.attention).view(count, width, 3, sizes.num_heads, sizes.d_kv)
            query, key, value = qkv.permute(2, 0, 3, 1, 4)
            found = self._attend(query, key, value, bias)
            hidden.addmm_(found.transpose(1, 2).reshape(count * width, -1), layer.attention.out.t())
            self._feed_forward(hidden, layer.feed_forward)
        keys_values = F.linear(self._norm(hidden, weights.encoder.norm), weights.source_kv)
        shape = (count, width, sizes.num_decoder_layers, 2, sizes.num_heads, sizes.d_kv)
        return Encoded(keys_values=keys_values.view(shape).permute(2, 3, 0, 4, 1, 5), lengths=lengths)

    def decode_step(
        self, tokens: Tensor, positions: Tensor, cache: Tensor, source: Tensor, source_mask: Tensor, length: int
    ) -> Tensor:
        """Compute the logits (rows, vocabulary), in float32, after ``tokens`` (rows) at ``positions`` (rows).

        ``cache`` (layers, 2, rows, heads, target_capacity, d_kv) gains the tokens' keys and values; ``source`` (layers,
        2, sources, heads, source_capacity, d_kv) is read through ``source_mask`` (sources, 1, 1, source_capacity),
        each source by rows / sources neighbouring rows. Attention sees the first ``length`` places of both.
        Nothing here depends on values held by the device, so the step can be captured in a CUDA graph.
        """
        weights, sizes = self.weights, self.weights.sizes
        rows, sources = tokens.shape[0], source.shape[2]
        row_numbers = torch.arange(rows, device=self.device)
        bias = self._decoder_bias[:, :, :length].index_select(0, positions).unsqueeze(2)
        mask = source_mask[..., :length]
        hidden = F.embedding(tokens, weights.embedding)
        for layer, keys_values, source_keys_values in zip(weights.decoder.layers, cache, source, strict=True):
            qkv = self._project(hidden, layer.attention).view(rows, 3, sizes.num_heads, sizes.d_kv)
            keys_values[:, row_numbers, :, positions] = qkv[:, 1:]
            key, value = keys_values[:, :, :, :length]
            found = self._attend(qkv[:, 0].unsqueeze(2), key, value, bias)
            hidden.addmm_(found.reshape(rows, -1), layer.attention.out.t())
            assert layer.cross is not None
            query = self._project(hidden, layer.cross).view(sources, -1, sizes.num_heads, sizes.d_kv)
            key, value = source_keys_values[:, :, :, :length]
            found = self._attend(query.transpose(1, 2), key, value, mask)
            hidden.addmm_(found.transpose(1, 2).reshape(rows, -1), layer.cross.out.t())
            self._feed_forward(hidden, layer.feed_forward)
        hidden = self._norm(hidden, weights.decoder.norm)
        if self.dtype == torch.float32:
            return hidden @ weights.head.t()
        # Rounded to bfloat16 the best two of many logits are often equal; the sums are float32 anyway, so keep them.
        return torch.mm(hidden, weights.head.t(), out_dtype=torch.float32)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        # T5 has the scale in its weights. On CUDA two kernels only: the others, and whether they may be recorded in a
        # graph, change with versions of cuDNN.
        kernels = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
        with sdpa_kernel(kernels) if self.device.type == "cuda" else contextlib.nullcontext():
            return F.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=1.0)

    def _norm(self, hidden: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(hidden, (hidden.shape[-1],), weight, self.weights.sizes.layer_norm_epsilon)

    def _project(self, hidden: Tensor, block: Attention) -> Tensor:
        return F.linear(self._norm(hidden, block.norm), block.project)

    def _feed_forward(self, hidden: Tensor, block: FeedForward) -> None:
        inner = F.linear(self._norm(hidden, block.norm), block.wi)
        if self.weights.sizes.feed_forward_proj == "relu":
            inner = inner.relu_()
        else:
            gate, value = inner.chunk(2, dim=-1)
            inner = F.gelu(gate, approximate="tanh") * value
        hidden.addmm_(inner, block.wo.t())


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
