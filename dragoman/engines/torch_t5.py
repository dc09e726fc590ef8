"""PyTorch: any device, full precision by default; the reference that the other engines are compared with."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache, EncoderDecoderCache, GenerationConfig, T5ForConditionalGeneration

from dragoman.bundle import Bundle
from dragoman.engines import Hypothesis
from dragoman.errors import BundleError, ConfigError, InferenceError
from dragoman.manifest import Decoding
from dragoman.tokenizer import EOS_ID, PAD_ID, Tokenizer


class TorchEngine:
    """A T5 from the bundle's safetensors, decoded with ``generate``."""

    name = "torch"
    parallel_batches = 1
    # In full precision the differences that padding makes are near 1e-6 and decide only between exact ties.
    equal_lengths = False

    def __init__(self, bundle: Bundle, tokenizer: Tokenizer, device: str) -> None:
        """Load the weights in float32; raises ConfigError when the device is not there."""
        if device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("device is cuda, but PyTorch sees no CUDA device; use device=cpu or auto")
        self.device = "cuda" if torch.cuda.is_available() and device != "cpu" else "cpu"
        try:
            self._model = T5ForConditionalGeneration.from_pretrained(
                bundle.model_dir, local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
        except (OSError, ValueError) as error:
            raise BundleError(f"cannot load the weights of {bundle.model_dir}: {error}") from error
        self._model.to(self.device).eval()

    @staticmethod
    def cannot_open(bundle: Bundle) -> str | None:
        """Why this engine cannot run the bundle, or None: every bundle holds the weights."""
        return None

    @torch.inference_mode()
    def decode(
        self, sources: Sequence[Sequence[int]], decoding: Decoding, *, num_hypotheses: int, return_scores: bool
    ) -> list[list[Hypothesis]]:
        """See ``Engine.decode``."""
        longest = max(map(len, sources))
        input_ids = torch.tensor([[*ids, *[PAD_ID] * (longest - len(ids))] for ids in sources], device=self.device)
        mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids in sources], device=self.device)
        try:
            output = self._model.generate(
                input_ids=input_ids,
                attention_mask=mask,
                past_key_values=growing_cache(),
                generation_config=_generation_config(decoding, num_hypotheses, return_scores),
            )
        except RuntimeError as error:
            raise InferenceError(f"PyTorch failed on a batch of {len(sources)} texts: {error}") from error
        # The first column is the decoder's start token.
        rows = output.sequences[:, 1:].tolist()
        scores = self._scores(output, decoding) if return_scores else [None] * len(rows)
        hypotheses = [_hypothesis(ids, score) for ids, score in zip(rows, scores, strict=True)]
        return [hypotheses[start : start + num_hypotheses] for start in range(0, len(rows), num_hypotheses)]

    def _scores(self, output: Any, decoding: Decoding) -> list[float]:
        if decoding.num_beams > 1:
            scores: list[float] = output.sequences_scores.tolist()
            return scores
        steps = self._model.compute_transition_scores(output.sequences, output.scores, normalize_logits=True)
        # What follows the end of a sequence is padding, whose probability is no part of its score.
        tokens = output.sequences[:, 1:]
        ended = (tokens == EOS_ID).cumsum(dim=1) - (tokens == EOS_ID).int()
        live = ended == 0
        lengths = live.sum(dim=1)
        totals: list[float] = (steps.masked_fill(~live, 0.0).sum(dim=1) / lengths**decoding.length_penalty).tolist()
        return totals

    def close(self) -> None:
        """Free the model."""
        del self._model


def growing_cache() -> EncoderDecoderCache:
    """An empty cache that takes as many layers as come.

    Transformers itself counts the encoder's layers, and fails on a decoder that has more.
    """
    return EncoderDecoderCache(DynamicCache(), DynamicCache())


def _generation_config(decoding: Decoding, num_hypotheses: int, return_scores: bool) -> GenerationConfig:
    return GenerationConfig(
        num_beams=decoding.num_beams,
        num_return_sequences=num_hypotheses,
        max_new_tokens=decoding.max_new_tokens,
        length_penalty=decoding.length_penalty,
        do_sample=False,
        pad_token_id=PAD_ID,
        eos_token_id=EOS_ID,
        decoder_start_token_id=PAD_ID,
        return_dict_in_generate=True,
        output_scores=return_scores,
    )


def _hypothesis(row: list[int], score: float | None) -> Hypothesis:
    finished = EOS_ID in row
    return Hypothesis(tuple(row[: row.index(EOS_ID)] if finished else row), score, finished)
