"""CTranslate2: int8 on a CPU by default, the engine that ships."""

import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ctranslate2

from dragoman.bundle import Bundle
from dragoman.engines.cpu import has_onednn_avx512, usable_cores
from dragoman.engines.seq2seq import Decoding, Hypothesis, OnAnswer
from dragoman.errors import ConfigError, InferenceError
from dragoman.sizes import Capacity
from dragoman.tokenizer import EOS_ID, PAD_ID, UNK_ID, Tokenizer

CONVERSION = "ct2-int8"
VOCABULARY_MAP = "vmap.txt"
MAX_CPU_WORKERS = 16
# A matrix product sums in the order of the kernel that computes it, which is chosen by the product's sizes and, within
# it, by the place of an entry in its tiles. Attention's sizes are the width of a batch; rounding activations to 8 bits
# turns its last bits into other scores, and into other tokens where two are close. So a source is always computed at
# the same width, whatever its company: the next multiple of the fine step, or of the coarse one where it is longer than
# that, to which a row of no use widens a batch.
FINE_STEP, COARSE_STEP = 16, 64
# oneDNN's AVX-512 kernels sum in one order at all widths between these two (`python -m benchmarks.batch_invariance`),
# so there sources of other lengths may share a batch, and nearly none needs the row.
NARROWEST, WIDEST = 16, 192


StepCallback = Callable[["ctranslate2.GenerationStepResult"], bool]


def cpu_workers(cores: int) -> int:
    """How many workers of one thread each compute batches side by side.

    A decoding step is too small to be shared: two threads take longer for it than one (measured on two cores with
    `python -m benchmarks.cpu_layout`). Beyond some workers the requests of a moment no longer fill as many batches.
    """
    return min(cores, MAX_CPU_WORKERS)


class CTranslate2Engine:
    """A CTranslate2 translator over the bundle's int8 conversion."""

    name = "ctranslate2"

    def __init__(
        self, bundle: Bundle, *, device: str, tokenizer: Tokenizer, max_source_tokens: int, max_new_tokens: int
    ) -> None:
        """Load the conversion on ``device``; raises ConfigError when the device is not there."""
        has_cuda = ctranslate2.get_cuda_device_count() > 0
        if device == "cuda" and not has_cuda:
            raise ConfigError("device is cuda, but CTranslate2 sees no CUDA device; use device=cpu or auto")
        self.device = "cuda" if has_cuda and device != "cpu" else "cpu"
        self.capacity = Capacity(parallel_batches=cpu_workers(usable_cores()) if self.device == "cpu" else 1)
        self._any_width = self.device == "cpu" and has_onednn_avx512()
        self._tokenizer = tokenizer
        self._candidates = self._read_candidates(bundle.engine_dir(CONVERSION) / VOCABULARY_MAP)
        self._end = tokenizer.pieces([EOS_ID])[0]
        translator = ctranslate2.Translator(
            str(bundle.engine_dir(CONVERSION)),
            device=self.device,
            inter_threads=self.capacity.parallel_batches,
            intra_threads=1,
        )
        # Its threads let go of a callback only after they have answered. They must end while Python still runs, also in
        # a program that never closes the engine, or the process is aborted.
        self._translators = [translator]
        weakref.finalize(self, self._translators.clear)

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
        longest = max(rows, key=len)
        if narrow := len(longest) < (width := self._width(len(longest))):
            # What comes after the end is nearly nothing to the model, so this row ends about when its original does.
            rows.append(longest + [self._end] * (width - len(longest)))
        reported = on_answer if len(sources) > 1 and not return_scores else None
        with_callback = decoding.num_beams == 1 and (narrow or reported is not None)
        try:
            results = self._translators[0].translate_batch(
                rows,
                beam_size=decoding.num_beams,
                num_hypotheses=num_hypotheses,
                length_penalty=decoding.length_penalty,
                # The end of sequence counts as a token here.
                max_decoding_length=decoding.max_new_tokens,
                max_input_length=0,
                return_scores=return_scores,
                return_end_token=True,
                use_vmap=self._candidates is not None,
                callback=self._step_watcher(len(sources), reported) if with_callback else None,
            )
        except (RuntimeError, ValueError) as error:
            raise InferenceError(f"CTranslate2 failed on a batch of {len(sources)} texts: {error}") from error
        return [self._hypotheses(result) for result in results[: len(sources)]]

    def _read_candidates(self, path: Path) -> list[str] | None:
        """The pieces that have logits where not all have, in the order of their logits, which is that of their ids."""
        if not path.exists():
            return None
        ids = self._tokenizer.piece_ids(path.read_text(encoding="utf-8").strip("\t\n").split(" "))
        # CTranslate2 always adds the special ones.
        return self._tokenizer.pieces(sorted({PAD_ID, EOS_ID, UNK_ID, *ids}))

    def _width(self, longest: int) -> int:
        """The width at which a batch is computed."""
        if self._any_width and longest <= WIDEST:
            return max(longest, NARROWEST)
        step = FINE_STEP if longest <= COARSE_STEP else COARSE_STEP
        return math.ceil(longest / step) * step

    def _step_watcher(self, count: int, on_answer: OnAnswer | None) -> StepCallback:
        """What CTranslate2 calls with every token, and whose answer says whether to stop that row.

        It reports each translation at its end, and stops the row beyond ``count``, which only widens the batch.
        """
        tokens: list[list[str]] = [[] for _ in range(count)]

        def watch(step: "ctranslate2.GenerationStepResult") -> bool:
            if step.batch_id >= count:
                return True
            if on_answer:
                # The place of a logit, which is the id of a token only where there is a logit for every token.
                tokens[step.batch_id].append(self._candidates[step.token_id] if self._candidates else step.token)
                if step.is_last:
                    on_answer(step.batch_id, [self._hypothesis(tokens[step.batch_id], None)])
            return False

        return watch

    def _hypotheses(self, result: "ctranslate2.TranslationResult") -> list[Hypothesis]:
        scores = result.scores or [None] * len(result.hypotheses)
        return [self._hypothesis(tokens, score) for tokens, score in zip(result.hypotheses, scores, strict=True)]

    def _hypothesis(self, tokens: list[str], score: float | None) -> Hypothesis:
        finished = bool(tokens) and tokens[-1] == self._end
        ids = self._tokenizer.piece_ids(tokens[:-1] if finished else tokens)
        return Hypothesis(tuple(ids), score, finished)

    def close(self) -> None:
        """Free the model."""
        self._translators.clear()

    def describe(self) -> Mapping[str, Any]:
        """See ``Engine.describe``."""
        return {"engine": self.name, "device": self.device, "parallel": self.capacity.parallel_batches}
