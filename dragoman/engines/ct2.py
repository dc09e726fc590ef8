"""CTranslate2: int8 on a CPU by default, the engine that ships."""

import os
from collections.abc import Sequence

import ctranslate2

from dragoman.bundle import Bundle
from dragoman.engines import Hypothesis
from dragoman.errors import ConfigError, InferenceError
from dragoman.manifest import Decoding
from dragoman.tokenizer import EOS_ID, Tokenizer

CONVERSION = "ct2-int8"
MAX_CPU_WORKERS = 4


class CTranslate2Engine:
    """A CTranslate2 translator over the bundle's int8 conversion."""

    name = "ctranslate2"
    # Padding changes the order in which attention sums, so the last bits of its results. Rounding activations to 8 bits
    # turns that into other scores, and other tokens where two are close; with equal lengths every answer is what it is
    # alone. `python -m benchmarks.batch_invariance` counts both.
    equal_lengths = True

    def __init__(self, bundle: Bundle, tokenizer: Tokenizer, device: str) -> None:
        """Load the conversion on ``device``; raises ConfigError when the device is not there."""
        has_cuda = ctranslate2.get_cuda_device_count() > 0
        if device == "cuda" and not has_cuda:
            raise ConfigError("device is cuda, but CTranslate2 sees no CUDA device; use device=cpu or auto")
        self.device = "cuda" if has_cuda and device != "cpu" else "cpu"
        # On a CPU several workers of one thread beat one worker of several: a decoding step is too small to share.
        self.parallel_batches = min(os.cpu_count() or 1, MAX_CPU_WORKERS) if self.device == "cpu" else 1
        self._tokenizer = tokenizer
        self._end = tokenizer.pieces([EOS_ID])[0]
        self._translator = ctranslate2.Translator(
            str(bundle.engine_dir(CONVERSION)),
            device=self.device,
            inter_threads=self.parallel_batches,
            intra_threads=1,
        )

    @staticmethod
    def cannot_open(bundle: Bundle) -> str | None:
        """Why this engine cannot run the bundle, or None."""
        return None if CONVERSION in bundle.manifest.engines else f"the bundle has no {CONVERSION} conversion"

    def decode(
        self, sources: Sequence[Sequence[int]], decoding: Decoding, *, num_hypotheses: int, return_scores: bool
    ) -> list[list[Hypothesis]]:
        """See ``Engine.decode``."""
        try:
            results = self._translator.translate_batch(
                [self._tokenizer.pieces(ids) for ids in sources],
                beam_size=decoding.num_beams,
                num_hypotheses=num_hypotheses,
                length_penalty=decoding.length_penalty,
                # The end of sequence counts as a token here.
                max_decoding_length=decoding.max_new_tokens,
                max_input_length=0,
                return_scores=return_scores,
                return_end_token=True,
            )
        except (RuntimeError, ValueError) as error:
            raise InferenceError(f"CTranslate2 failed on a batch of {len(sources)} texts: {error}") from error
        return [self._hypotheses(result) for result in results]

    def _hypotheses(self, result: "ctranslate2.TranslationResult") -> list[Hypothesis]:
        scores = result.scores or [None] * len(result.hypotheses)
        return [self._hypothesis(tokens, score) for tokens, score in zip(result.hypotheses, scores, strict=True)]

    def _hypothesis(self, tokens: list[str], score: float | None) -> Hypothesis:
        finished = bool(tokens) and tokens[-1] == self._end
        ids = self._tokenizer.piece_ids(tokens[:-1] if finished else tokens)
        return Hypothesis(tuple(ids), score, finished)

    def close(self) -> None:
        """Free the model."""
        self._translator.unload_model()
