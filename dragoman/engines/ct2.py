"""CTranslate2: int8 on a CPU by default, the engine that ships."""

import math
from collections.abc import Callable, Sequence

import ctranslate2

from dragoman.bundle import Bundle
from dragoman.engines import Hypothesis, OnAnswer
from dragoman.engines.cpu import has_onednn_avx512, usable_cores
from dragoman.errors import ConfigError, InferenceError
from dragoman.manifest import Decoding
from dragoman.tokenizer import EOS_ID, Tokenizer

CONVERSION = "ct2-int8"
VOCABULARY_MAP = "vmap.txt"
MAX_CPU_WORKERS = 8
# A matrix product sums in the order of the kernel that computes it, which is chosen by the product's sizes and, within
# it, by the place of an entry in its tiles. Attention's sizes are the width of a batch; rounding activations to 8 bits
# turns its last bits into other scores, and into other tokens where two are close. So a source is always computed at
# the same width, whatever its company: the next multiple of the fine step, or of the coarse one where it is longer than
# that, to which a row that ends at once widens a batch.
FINE_STEP, COARSE_STEP = 16, 64
# oneDNN's AVX-512 kernels sum in one order at all widths between these two (`python -m benchmarks.batch_invariance`),
# so there sources of other lengths may share a batch, and nearly none needs the row.
NARROWEST, WIDEST = 16, 192


def cpu_layout(cores: int) -> tuple[int, int]:
    """The workers, each with a batch of its own, and the threads of each.

    A decoding step is too small to share, so that several workers of one thread beat one worker of several
    (`python -m benchmarks.cpu_layout`); beyond some workers the requests of a moment no longer fill as many batches.
    """
    workers = min(cores, MAX_CPU_WORKERS)
    return workers, cores // workers


class CTranslate2Engine:
    """A CTranslate2 translator over the bundle's int8 conversion."""

    name = "ctranslate2"

    def __init__(self, bundle: Bundle, tokenizer: Tokenizer, device: str) -> None:
        """Load the conversion on ``device``; raises ConfigError when the device is not there."""
        has_cuda = ctranslate2.get_cuda_device_count() > 0
        if device == "cuda" and not has_cuda:
            raise ConfigError("device is cuda, but CTranslate2 sees no CUDA device; use device=cpu or auto")
        self.device = "cuda" if has_cuda and device != "cpu" else "cpu"
        self.parallel_batches, threads = cpu_layout(usable_cores()) if self.device == "cpu" else (1, 0)
        self._any_width = self.device == "cpu" and has_onednn_avx512()
        self._tokenizer = tokenizer
        self._use_vmap = (bundle.engine_dir(CONVERSION) / VOCABULARY_MAP).exists()
        self._end = tokenizer.pieces([EOS_ID])[0]
        self._translator = ctranslate2.Translator(
            str(bundle.engine_dir(CONVERSION)),
            device=self.device,
            # Batches that are nearly done run beside those that have just begun.
            inter_threads=2 * self.parallel_batches if self.device == "cpu" else 1,
            intra_threads=threads,
        )

    @staticmethod
    def cannot_open(bundle: Bundle) -> str | None:
        """Why this engine cannot run the bundle, or None."""
        return None if CONVERSION in bundle.manifest.engines else f"the bundle has no {CONVERSION} conversion"

    def batch_class(self, length: int) -> int:
        """See ``Engine.batch_class``."""
        return WIDEST if self._any_width and length <= WIDEST else self._width(length)

    def decode(
        self,
        sources: Sequence[Sequence[int]],
        decoding: Decoding,
        *,
        num_hypotheses: int,
        return_scores: bool,
        on_answer: OnAnswer | None = None,
    ) -> list[list[Hypothesis]]:
        """See ``Engine.decode``; greedy translations without scores are known before the rest of their batch."""
        rows = [self._tokenizer.pieces(ids) for ids in sources]
        longest = max(map(len, rows))
        narrow = longest < (width := self._width(longest))
        if narrow:
            # Its translation is given, and is its end, so it costs no step.
            rows.append([self._end] * width)
        early = None
        if on_answer and len(sources) > 1 and decoding.num_beams == 1 and not return_scores:
            early = self._reporter(len(sources), on_answer)
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
                callback=early,
            )
        except (RuntimeError, ValueError) as error:
            raise InferenceError(f"CTranslate2 failed on a batch of {len(sources)} texts: {error}") from error
        return [self._hypotheses(result) for result in results[: len(sources)]]

    def _width(self, longest: int) -> int:
        """The width at which a batch is computed."""
        if self._any_width and longest <= WIDEST:
            return max(longest, NARROWEST)
        step = FINE_STEP if longest <= COARSE_STEP else COARSE_STEP
        return math.ceil(longest / step) * step

    def _reporter(self, count: int, on_answer: OnAnswer) -> Callable[["ctranslate2.GenerationStepResult"], bool]:
        """What CTranslate2 calls with every token: it gathers them and reports each translation at its end.

        It answers whether to stop that row, which never is so.
        """
        tokens: list[list[str]] = [[] for _ in range(count)]

        def report(step: "ctranslate2.GenerationStepResult") -> bool:
            # The row that only widens the batch comes after the sources.
            if step.batch_id < count:
                tokens[step.batch_id].append(step.token)
                if step.is_last:
                    on_answer(step.batch_id, [self._hypothesis(tokens[step.batch_id], None)])
            return False

        return report

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
