"""CTranslate2: int8 on a CPU by default, the engine that ships."""

import logging
import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ctranslate2

from dragoman.bundle.store import Bundle
from dragoman.engines.cpu import kernel_settings, processor, usable_cores
from dragoman.engines.mixing import (
    BY_WIDTH,
    FREE,
    Kind,
    Verdict,
    check_mixing,
    kinds_of_decoding,
    random_batches,
)
from dragoman.engines.seq2seq import Decoding, Hypothesis, OnAnswer
from dragoman.engines.verdicts import settled_verdict
from dragoman.errors import ConfigError, InferenceError
from dragoman.items.sizes import Capacity
from dragoman.text.tokenizer import EOS_ID, PAD_ID, UNK_ID, Tokenizer

log = logging.getLogger(__name__)

CONVERSION = "ct2-int8"
VOCABULARY_MAP = "vmap.txt"
MAX_CPU_WORKERS = 16
# The path that is safe everywhere: a source is always computed at the same width, whatever its company. That is the
# next multiple of the fine step, or of the coarse one where it is longer than that, to which a row of no use widens a
# batch.
FINE_STEP, COARSE_STEP = 16, 64
# Where the self-check passes, sources up to the wider of these share batches at any width from the narrower one, and
# nearly none needs the row. oneDNN's AVX-512 kernels sum in one order between these two, and MKL's seem to
# (`python -m benchmarks.translation.batch_invariance`).
NARROWEST, WIDEST = 16, 192
# To be changed with what the self-check does, so that no verdict of an earlier one is taken for it.
CHECK_EDITION = 2


StepCallback = Callable[["ctranslate2.GenerationStepResult"], bool]


def cpu_workers(cores: int) -> int:
    """Return how many workers of one thread each compute batches side by side.

    A decoding step is too small to be shared: two threads take longer for it than one (measured on two cores with
    `python -m benchmarks.studies.cpu_layout`). Beyond some workers the requests of a moment no longer fill as many
    batches.
    """
    return min(cores, MAX_CPU_WORKERS)


def _capacity(device: str) -> Capacity:
    if device == "cpu":
        # Half of what is best for throughput alone: with t5-small on one core a batch of 32 short sentences takes about
        # half a second, and twice as many would be a tenth cheaper each while the next ones wait twice.
        return Capacity(parallel_batches=cpu_workers(usable_cores()), batch_cost=512)
    # One batch at a time has to fill the device. Not measured: a GPU's engine is the one of PyTorch.
    return Capacity(parallel_batches=1, batch_cost=4_096, max_waiting_items=8 * 4_096, max_waiting_cost=8 * 65_536)


def _width(longest: int, *, any_width: bool) -> int:
    """Return the width at which a batch is computed whose longest source has so many tokens."""
    if any_width and longest <= WIDEST:
        return max(longest, NARROWEST)
    step = FINE_STEP if longest <= COARSE_STEP else COARSE_STEP
    return math.ceil(longest / step) * step


class CTranslate2Engine:
    """A CTranslate2 translator over the bundle's int8 conversion."""

    name = "ctranslate2"
    is_exact = True

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
        """Load the conversion and check how its sources mix; raises ConfigError when the device is not there."""
        has_cuda = ctranslate2.get_cuda_device_count() > 0
        if device == "cuda" and not has_cuda:
            raise ConfigError("device is cuda, but CTranslate2 sees no CUDA device; use device=cpu or auto")
        self.device = "cuda" if has_cuda and device != "cpu" else "cpu"
        self.capacity = _capacity(self.device)
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
        self._verdict = self._decide(bundle.manifest.digest, min(WIDEST, max_source_tokens), max_beams)
        self._any_width = self._verdict.mixing == FREE
        log.info("sources of unequal lengths are mixed: %s (self-check %s)", self._verdict.mixing, self._verdict.reason)

    @staticmethod
    def cannot_open(bundle: Bundle) -> str | None:
        """Return why this engine cannot run the bundle, or None."""
        return None if CONVERSION in bundle.manifest.engines else f"the bundle has no {CONVERSION} conversion"

    def describe(self) -> Mapping[str, str | int]:
        """See ``Engine.describe``; ``mixing`` is free, or by_width where only sources of one width share batches."""
        return {
            "engine": self.name,
            "device": self.device,
            "parallel": self.capacity.parallel_batches,
            "mixing": self._verdict.mixing,
            "self_check": self._verdict.reason,
        }

    def batch_class(self, length: int) -> int:
        """See ``Seq2SeqEngine.batch_class``."""
        return WIDEST if self._any_width and length <= WIDEST else _width(length, any_width=False)

    def decode(
        self,
        sources: Sequence[Sequence[int]],
        decoding: Decoding,
        *,
        num_hypotheses: int,
        return_scores: bool,
        on_answer: OnAnswer | None = None,
    ) -> list[list[Hypothesis]]:
        """See ``Seq2SeqEngine.decode``; greedy outputs without scores are known before the rest of their batch."""
        rows = self._rows(sources, any_width=self._any_width)
        reported = on_answer if len(sources) > 1 and not return_scores else None
        with_callback = decoding.num_beams == 1 and (len(rows) > len(sources) or reported is not None)
        results = self._translate(
            rows,
            decoding,
            num_hypotheses=num_hypotheses,
            return_scores=return_scores,
            callback=self._step_watcher(len(sources), reported) if with_callback else None,
        )
        return [self._hypotheses(result) for result in results[: len(sources)]]

    def _rows(self, sources: Sequence[Sequence[int]], *, any_width: bool) -> list[list[str]]:
        """Return the pieces of the sources, and of a row of no use where they are narrower than they are computed."""
        rows = [self._tokenizer.pieces(ids) for ids in sources]
        longest = max(rows, key=len)
        if padding := _width(len(longest), any_width=any_width) - len(longest):
            # What comes after the end is nearly nothing to the model, so this row ends about when its original does.
            rows.append(longest + [self._end] * padding)
        return rows

    def _translate(
        self,
        rows: list[list[str]],
        decoding: Decoding,
        *,
        num_hypotheses: int,
        return_scores: bool,
        **options: Any,
    ) -> "list[ctranslate2.TranslationResult]":
        try:
            results: list[ctranslate2.TranslationResult] = self._translators[0].translate_batch(
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
                **options,
            )
        except (RuntimeError, ValueError) as error:
            raise InferenceError(f"CTranslate2 failed on a batch of {len(rows)} sources: {error}") from error
        return results

    def _decide(self, digest: str, widest: int, max_beams: int) -> Verdict:
        """Return how sources may be mixed with these weights on this machine."""
        key = {
            "bundle": digest,
            "device": self.device,
            "processor": processor(),
            "settings": kernel_settings(),
            "versions": {"check": CHECK_EDITION, "ctranslate2": ctranslate2.__version__},
        }
        return settled_verdict(key, lambda: self._check(widest, max_beams))

    def _check(self, widest: int, max_beams: int) -> Verdict:
        if self.device != "cpu":
            return Verdict(BY_WIDTH, f"not made on {self.device}", certain=False)
        batches = random_batches(widest=widest, first_id=UNK_ID + 1, end_id=EOS_ID, vocabulary=self._tokenizer.size)
        threads = self.capacity.parallel_batches
        return check_mixing(self._outputs, batches, kinds_of_decoding(max_beams), threads=threads)

    def _outputs(self, sources: Sequence[Sequence[int]], kind: Kind) -> list[object]:
        """Return all that a decoding shows of each source, as the self-check compares it."""
        results = self._translate(
            self._rows(sources, any_width=True),
            Decoding(num_beams=kind.num_beams, max_new_tokens=kind.steps),
            num_hypotheses=kind.num_beams,
            return_scores=kind.return_scores,
            # With beams CTranslate2 gives attention of other rows.
            return_attention=kind.num_beams == 1,
        )
        return [
            (
                result.hypotheses,
                result.scores,
                # The attention to padding is zero, and there is none in a source alone.
                [[step[: len(source)] for step in steps] for steps in result.attention],
            )
            for source, result in zip(sources, results, strict=False)
        ]

    def _read_candidates(self, path: Path) -> list[str] | None:
        """Return the pieces that have logits where not all have, in the order of these, which is that of the ids."""
        if not path.exists():
            return None
        ids = self._tokenizer.piece_ids(path.read_text(encoding="utf-8").strip("\t\n").split(" "))
        # CTranslate2 always adds the special ones.
        return self._tokenizer.pieces(sorted({PAD_ID, EOS_ID, UNK_ID, *ids}))

    def _step_watcher(self, count: int, on_answer: OnAnswer | None) -> StepCallback:
        """Return a callback that CTranslate2 calls with every token; its answer says whether to stop that row.

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
