"""PyTorch's BERT: any device; on a CPU in full precision the reference for the other engine, on CUDA the fast one."""

from collections.abc import Mapping, Sequence

import torch

from dragoman.bundle.store import Bundle
from dragoman.engines.bert.classifier import Head
from dragoman.engines.bert.model import load_encoder
from dragoman.engines.mixing import padded_width
from dragoman.engines.selection import torch_device
from dragoman.items.sizes import Capacity

# A kernel, and with it the order in which numbers are added up, is chosen by the shape of a batch. So that an answer
# never depends on its company, every sequence is computed in one shape only:
#
#   CPU    alone and unpadded: this is the reference, not the way to serve
#   CUDA   in a batch of as many rows as fill ROW_TOKENS at the width of its class, most of them filler if need be
#
# On CUDA that costs little: a batch of this size takes about as long as its kernels take to be launched.
ROW_TOKENS = 4_096
# On CUDA a second batch is prepared while one is computed; it has eight times a CPU's speed or more, so eight times as
# much may wait for it. Its figures follow from the shape of batches; they have not been measured under load.
CAPACITIES = {
    "cpu": Capacity(),
    "cuda": Capacity(
        parallel_batches=2, batch_cost=ROW_TOKENS, max_waiting_items=8 * 4_096, max_waiting_cost=8 * 65_536
    ),
}


class TorchBert:
    """A BERT from the bundle's safetensors, and its head: float32 on a CPU, float16 on CUDA."""

    name = "torch"
    is_exact = True

    def __init__(self, bundle: Bundle, device: str, *, max_tokens: int, vocabulary: int, labels: int) -> None:
        """Load the weights; raises ConfigError when the device is not there, BundleError when they are no BERT's."""
        self.device = torch_device(device)
        self.capacity = CAPACITIES[self.device]
        dtype = torch.float16 if self.device == "cuda" else torch.float32
        with torch.inference_mode():
            self._encoder = load_encoder(bundle.model_dir, device=self.device, dtype=dtype)
        self._head = Head(self._encoder.head, labels=labels, origin=bundle.model_dir)
        self._max_tokens = max_tokens

    @staticmethod
    def cannot_open(bundle: Bundle) -> str | None:
        """Return None, since every bundle holds the weights that this engine needs."""
        return None

    def describe(self) -> Mapping[str, str | int]:
        """See ``Engine.describe``."""
        return {"engine": self.name, "device": self.device, "parallel": self.capacity.parallel_batches}

    def batch_class(self, length: int) -> int:
        """See ``SequenceClassifier.batch_class``: the width at which a sequence is computed."""
        return 0 if self.device == "cpu" else self._width(length)

    def logits(self, sequences: Sequence[Sequence[int]]) -> list[tuple[float, ...]]:
        """See ``SequenceClassifier.logits``."""
        with torch.inference_mode():
            if self.device == "cpu":
                pooled = [self._encoder.pooled(torch.tensor([sequence]), None) for sequence in sequences]
            else:
                width = self._width(len(sequences[0]))
                rows = max(1, ROW_TOKENS // width)
                parts = (sequences[start : start + rows] for start in range(0, len(sequences), rows))
                pooled = [self._in_shape(part, rows, width) for part in parts]
            return self._head.logits(torch.cat(pooled).float().cpu().numpy())

    def _width(self, length: int) -> int:
        # There are no embeddings of places beyond the longest sequence.
        return min(padded_width(length, any_width=False), self._max_tokens)

    def _in_shape(self, sequences: Sequence[Sequence[int]], rows: int, width: int) -> torch.Tensor:
        """Compute sequences in a batch of exactly this shape."""
        ids = torch.zeros(rows, width, dtype=torch.int64)
        # A filler row is one token long: attention to nothing at all would not be a number.
        lengths = torch.ones(rows, dtype=torch.int64)
        for row, sequence in enumerate(sequences):
            ids[row, : len(sequence)] = torch.tensor(sequence)
            lengths[row] = len(sequence)
        pooled = self._encoder.pooled(ids.to(self.device), lengths.to(self.device))
        return pooled[: len(sequences)]

    def close(self) -> None:
        """Free the model."""
        del self._encoder
