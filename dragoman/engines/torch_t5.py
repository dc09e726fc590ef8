"""PyTorch: any device; on a CPU in full precision the reference for the other engines, on CUDA the fast one."""

from collections.abc import Mapping, Sequence

import torch

from dragoman.bundle.store import Bundle
from dragoman.engines.selection import torch_device
from dragoman.engines.seq2seq import Decoding, Hypothesis, OnAnswer
from dragoman.engines.t5.lane import PACES
from dragoman.engines.t5.model import T5Model
from dragoman.engines.t5.scheduler import SlotScheduler
from dragoman.engines.t5.weights import load_weights
from dragoman.items.sizes import Capacity
from dragoman.text.tokenizer import Tokenizer

# Decoder rows computed at once.
SLOTS = {"cpu": 32, "cuda": 256}
# The batches that fill the slots together: on a CPU with sources of 32 tokens, on CUDA with sources of up to 64. CUDA
# has eight times the slots, so eight times as much may wait for them. Its figures follow from the slots; they have not
# been measured under load.
CAPACITIES = {
    "cpu": Capacity(parallel_batches=2, batch_cost=512),
    "cuda": Capacity(parallel_batches=16, batch_cost=1_024, max_waiting_items=8 * 4_096, max_waiting_cost=8 * 65_536),
}


class TorchEngine:
    """A T5 from the bundle's safetensors, decoded in slots: float32 on a CPU, bfloat16 on CUDA.

    Padding and neighbours change results by about 1e-6 in float32, which decides only between exact ties.
    """

    name = "torch"
    is_exact = False

    def __init__(
        self,
        bundle: Bundle,
        device: str,
        *,
        tokenizer: Tokenizer,
        max_source_tokens: int,
        max_new_tokens: int,
        max_beams: int,
    ) -> None:
        """Load the weights; raises ConfigError when the device is not there, BundleError when they are no T5's."""
        self.device = torch_device(device)
        self.capacity = CAPACITIES[self.device]
        dtype = torch.bfloat16 if self.device == "cuda" else torch.float32
        with torch.inference_mode():
            weights = load_weights(bundle.model_dir, device=self.device, dtype=dtype)
            model = T5Model(weights, max_source=max_source_tokens, max_target=max_new_tokens)
        if self.device == "cuda":
            # The decoder reads on a stream of its own what was written on this one.
            torch.cuda.synchronize()
        self._scheduler = SlotScheduler(model, slots=SLOTS[self.device], pace=PACES[self.device])

    @staticmethod
    def cannot_open(bundle: Bundle) -> str | None:
        """Return None, since every bundle holds the weights that this engine needs."""
        return None

    def describe(self) -> Mapping[str, str | int]:
        """See ``Engine.describe``."""
        return {"engine": self.name, "device": self.device, "parallel": self.capacity.parallel_batches}

    def batch_class(self, length: int) -> int:
        """See ``Seq2SeqEngine.batch_class``: any length goes with any other."""
        return 0

    def decode(
        self,
        sources: Sequence[Sequence[int]],
        decoding: Decoding,
        *,
        num_hypotheses: int,
        return_scores: bool,
        on_answer: OnAnswer | None = None,
    ) -> list[list[Hypothesis]]:
        """See ``Seq2SeqEngine.decode``; sources of calls made at the same time share the steps of the decoder."""
        return self._scheduler.decode(
            sources, decoding, num_hypotheses=num_hypotheses, return_scores=return_scores, on_answer=on_answer
        )

    def close(self) -> None:
        """Answer the calls in flight and free the model."""
        self._scheduler.close()
        del self._scheduler
