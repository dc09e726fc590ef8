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
VOCABULARY_MAP = "vmap.txt"
MAX_CPU_WORKERS = 4
# The order in which attention sums, and so the last bits of its results, is that of the matrix product's kernel, which
# is chosen by the width of a batch. Rounding activations to 8 bits turns last bits into other scores, and into other
# tokens where two are close. Between these two widths the order is one and the same: every answer is then, to the bit,
# what it is alone. Found by counting (`python -m benchmarks.batch_invariance`) with oneDNN on AVX2.
NARROWEST, WIDEST = 16, 192


class CTranslate2Engine:
    """A CTranslate2 translator over the bundle's int8 conversion."""

    name = "ctranslate2"
    mixed_lengths_up_to = WIDEST

    def __init__(self, bundle: Bundle, tokenizer: Tokenizer, device: str) -> None:
        """Load the conversion on ``device``; raises ConfigError when the device is not there."""
        has_cuda = ctranslate2.get_cuda_device_count() > 0
        if device == "cuda" and not has_cuda:
            raise ConfigError("device is cuda, but CTranslate2 sees no CUDA device; use device=cpu or auto")
        self.device = "cuda" if has_cuda and device != "cpu" else "cpu"
        # On a CPU several workers of one thread beat one worker of several: a decoding step is too small to share.
        self.parallel_batches = min(os.cpu_count() or 1, MAX_CPU_WORKERS) if self.device == "cpu" else 1
        self._tokenizer = tokenizer
        self._use_vmap = (bundle.engine_dir(CONVERSION) / VOCABULARY_MAP).exists()
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
        rows = [self._tokenizer.pieces(ids) for ids in sources]
        narrow = max(map(len, rows)) < NARROWEST
        if narrow:
            # A row of its own widens the batch; its translation is given, and is its end, so it costs no step.
            rows.append([self._end] * NARROWEST)
        try:
            results = self._translator.translate_batch(
                rows,
                target_prefix=[[]] * len(sources) + [[self._end]] if narrow else None,
                beam_size=decoding.num_beams,
                num_hypotheses=num_hypotheses,
                length_penalty=decoding.length_penalty,
                # The end of sequence counts as a token here.
                max_decoding_length=decoding.max_new_tokens,
                max_input_length=0,
                return_scores=return_scores,
                return_end_token=True,
                use_vmap=self._use_vmap,
            )
        except (RuntimeError, ValueError) as error:
            raise InferenceError(f"CTranslate2 failed on a batch of {len(sources)} texts: {error}") from error
        return [self._hypotheses(result) for result in results[: len(sources)]]

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
