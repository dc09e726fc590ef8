"""CTranslate2: int8 on a CPU by default, the engine that ships."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ctranslate2

from dragoman.bundle.store import Bundle
from dragoman.engines.cpu import usable_cores
from dragoman.engines.ct2_batches import (
    CONVERSION,
    Widths,
    chosen_device,
    cpu_workers,
    missing_conversion,
)
from dragoman.engines.mixing import (
    WIDEST,
    DecodingKind,
    Verdict,
    check_mixing,
    decoding_kinds,
    padded_width,
    random_batches,
)
from dragoman.engines.seq2seq import Decoding, Hypothesis, OnAnswer
from dragoman.errors import InferenceError
from dragoman.items.sizes import Capacity
from dragoman.text.tokenizer import EOS_ID, PAD_ID, UNK_ID, Tokenizer

# The rule of mixing is that of `mixing`. Where a batch is narrower than the width at which it has to be computed,
# a filler row is added: the longest source with ends behind it. Its outputs are dropped, and a callback stops it after
# its first step where there are callbacks.

VOCABULARY_MAP = "vmap.txt"
# Part of the key of a stored verdict: increase it whenever the self-check changes, so that older verdicts are ignored.
CHECK_EDITION = 2

StepCallback = Callable[["ctranslate2.GenerationStepResult"], bool]


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
        """Load the conversion and settle how its sources mix; raises ConfigError when the device is not there."""
        self.device = chosen_device(device)
        # On a CPU the costs are the defaults of Capacity. On CUDA one batch at a time has to fill the device; that has
        # not been measured, since PyTorch's engine is the one for a GPU.
        self.capacity = Capacity(parallel_batches=cpu_workers(usable_cores()))
        if self.device == "cuda":
            self.capacity = Capacity(batch_cost=4_096, max_waiting_items=8 * 4_096, max_waiting_cost=8 * 65_536)
        self._tokenizer = tokenizer
        self._candidates = self._read_candidates(bundle.engine_dir(CONVERSION) / VOCABULARY_MAP)
        self._end = tokenizer.pieces([EOS_ID])[0]
        translator = ctranslate2.Translator(
            str(bundle.engine_dir(CONVERSION)),
            device=self.device,
            inter_threads=self.capacity.parallel_batches,
            intra_threads=1,
        )
        # Its threads release a callback only after they have answered. They must end while Python still runs, also in a
        # program that never closes the engine, or the process is aborted.
        self._translators = [translator]
        weakref.finalize(self, self._translators.clear)
        self._widths = Widths(
            bundle,
            self.device,
            lambda: self._check(min(WIDEST, max_source_tokens), max_beams),
            edition=CHECK_EDITION,
        )

    @staticmethod
    def cannot_open(bundle: Bundle) -> str | None:
        """Return the reason why this engine cannot run the bundle, or None."""
        return missing_conversion(bundle)

    def describe(self) -> Mapping[str, str | int]:
        """See ``Engine.describe``; ``mixing`` is free, or by_width where only sources of one width share batches."""
        return {
            "engine": self.name,
            "device": self.device,
            "parallel": self.capacity.parallel_batches,
            **self._widths.describe(),
        }

    def batch_class(self, length: int) -> int:
        """See ``Seq2SeqEngine.batch_class``."""
        return self._widths.batch_class(length)

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
        rows = self._rows(sources, any_width=self._widths.any_width)
        reported = on_answer if len(sources) > 1 and not return_scores else None
        with_callback = decoding.num_beams == 1 and (len(rows) > len(sources) or reported is not None)
        results = self._translate(
            rows,
            decoding,
            num_hypotheses=num_hypotheses,
            return_scores=return_scores,
            callback=self._step_watcher(len(sources), reported) if with_callback else None,
        )
        found = []
        for result in results[: len(sources)]:
            scores = result.scores or [None] * len(result.hypotheses)
            found.append(list(map(self._hypothesis, result.hypotheses, scores)))
        return found

    def _rows(self, sources: Sequence[Sequence[int]], *, any_width: bool) -> list[list[str]]:
        """Return the pieces of the sources, and of a filler row where they are narrower than they are computed."""
        rows = [self._tokenizer.pieces(ids) for ids in sources]
        longest = max(rows, key=len)
        padding = padded_width(len(longest), any_width=any_width) - len(longest)
        if padding:
            # Ends behind the first one hardly change the output, so this row ends about when its original does.
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

    def _check(self, widest: int, max_beams: int) -> Verdict:
        """Check whether sources up to a width may be mixed with these weights on this machine."""
        batches = random_batches(widest=widest, first_id=UNK_ID + 1, end_id=EOS_ID, vocabulary=self._tokenizer.size)
        threads = self.capacity.parallel_batches
        return check_mixing(self._outputs, batches, decoding_kinds(max_beams), threads=threads)

    def _outputs(self, sources: Sequence[Sequence[int]], kind: DecodingKind) -> list[object]:
        """Return hypotheses, scores and attention of each source, which the self-check compares."""
        results = self._translate(
            self._rows(sources, any_width=True),
            Decoding(num_beams=kind.num_beams, max_new_tokens=kind.steps),
            num_hypotheses=kind.num_beams,
            return_scores=kind.return_scores,
            # With beams CTranslate2 returns the attention of other rows.
            return_attention=kind.num_beams == 1,
        )
        return [
            (
                result.hypotheses,
                result.scores,
                # The attention to padding, of which a source alone has none, is zero.
                [[step[: len(source)] for step in steps] for steps in result.attention],
            )
            for source, result in zip(sources, results, strict=False)
        ]

    def _read_candidates(self, path: Path) -> list[str] | None:
        """Return the pieces with a logit, in the order of the logits, which is that of the ids; None if all have."""
        if not path.exists():
            return None
        ids = self._tokenizer.piece_ids(path.read_text(encoding="utf-8").strip("\t\n").split(" "))
        # CTranslate2 always adds the special pieces.
        return self._tokenizer.pieces(sorted({PAD_ID, EOS_ID, UNK_ID, *ids}))

    def _step_watcher(self, count: int, on_answer: OnAnswer | None) -> StepCallback:
        """Return a callback that reports each translation at its end, and stops the filler row, the one at ``count``.

        CTranslate2 calls it with every token, and stops the row for which it returns True.
        """
        tokens: list[list[str]] = [[] for _ in range(count)]

        def watch(step: "ctranslate2.GenerationStepResult") -> bool:
            if step.batch_id >= count:
                return True
            if on_answer:
                # ``token_id`` is the place of the logit, which is the token's id only if every token has a logit.
                tokens[step.batch_id].append(self._candidates[step.token_id] if self._candidates else step.token)
                if step.is_last:
                    on_answer(step.batch_id, [self._hypothesis(tokens[step.batch_id], None)])
            return False

        return watch

    def _hypothesis(self, tokens: list[str], score: float | None) -> Hypothesis:
        finished = bool(tokens) and tokens[-1] == self._end
        ids = self._tokenizer.piece_ids(tokens[:-1] if finished else tokens)
        return Hypothesis(tuple(ids), score, finished)

    def close(self) -> None:
        """Free the model."""
        self._translators.clear()
