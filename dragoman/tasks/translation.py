"""Translation at run time: texts in, texts out, sentence by sentence, over either engine."""

import functools
import logging
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

from dragoman.bundle import Bundle
from dragoman.documents import Span, halves, sentence_spans
from dragoman.engines import open_engine
from dragoman.engines.seq2seq import Decoding, Hypothesis, Seq2SeqEngine
from dragoman.errors import InvalidInput, UnavailableError
from dragoman.tasks import Failure, OnOutcome, Request, Result
from dragoman.tasks.translation_request import TranslationItem, TranslationRequest, parse_request
from dragoman.tasks.translation_result import SentenceHypothesis, Translation, assemble
from dragoman.token_batches import token_batches
from dragoman.tokenizer import EOS_ID, Tokenizer

log = logging.getLogger(__name__)


ENGINES = {"ctranslate2": "dragoman.engines.ct2:CTranslate2Engine", "torch": "dragoman.engines.torch_t5:TorchEngine"}
# A sentence that is too long for the model is cut into parts of at most so many tokens: few enough that they share
# batches with other sentences, and that a translation a third longer ends before the usual limit of 128 tokens.
PART_TOKENS = 96
# Sentences that one request may hold: as many as 200,000 characters can have, when each is a letter on a line. Lists of
# such texts would have answers many times as long as the question.
MAX_SENTENCES = 100_000


def open_translation_engine(bundle: Bundle, tokenizer: Tokenizer, *, engine: str, device: str) -> Seq2SeqEngine:
    """Load the engine of a bundle, for what its limits allow; raises BundleError or ConfigError."""
    limits = bundle.manifest.limits
    opened: Seq2SeqEngine = open_engine(
        ENGINES,
        bundle,
        engine=engine,
        device=device,
        tokenizer=tokenizer,
        max_source_tokens=limits.max_source_tokens,
        max_new_tokens=limits.max_new_tokens,
        max_beams=limits.max_beams,
    )
    return opened


class Options(NamedTuple):
    """What the items of a batch have in common."""

    decoding: Decoding
    num_hypotheses: int
    return_scores: bool


@dataclass(frozen=True)
class PreparedItem:
    """A sentence as source ids, with the options it is decoded with; equal items have equal answers."""

    ids: tuple[int, ...]
    options: Options

    @property
    def rows(self) -> int:
        """How many rows of a batch the model computes for it."""
        return self.options.decoding.num_beams


@dataclass(frozen=True)
class PreparedText:
    """A text, the spans of its sentences, and an item for each."""

    text: str
    spans: tuple[Span, ...]
    items: tuple[PreparedItem, ...]


class TranslationTask:
    """A bundle's tokenizer and engine, spoken to in texts."""

    text_fields = frozenset({"q", "source", "target", "format", "api_key"})

    def __init__(self, bundle: Bundle, *, engine: str, device: str) -> None:
        """Load the tokenizer and the engine; raises BundleError or ConfigError."""
        self._manifest = bundle.manifest
        self._tokenizer = Tokenizer(bundle.model_dir / "spiece.model")
        self._engine = open_translation_engine(bundle, self._tokenizer, engine=engine, device=device)
        # An engine that computes several batches at once needs as many threads that wait for them.
        self._pool = ThreadPoolExecutor(self._engine.capacity.parallel_batches, thread_name_prefix="decode")

    def prepare(self, item: str | TranslationItem) -> PreparedText:
        """Split and tokenize a text (a plain string takes the bundle's decoding defaults); raises InvalidInput."""
        if not isinstance(item, TranslationItem):
            item = TranslationItem(text=item, decoding=self._manifest.decoding)
        self._check(item.text, field="q")
        return self._prepare(item, field="q", most=MAX_SENTENCES)

    def parse(self, payload: Any) -> TranslationRequest:
        """See ``translation_request``; raises InvalidInput naming the field."""
        request = parse_request(payload, self._manifest)
        fields = list(zip(request.texts, request.fields, strict=True))
        # All are checked before the first is tokenized, which takes longer.
        for item, field in fields:
            self._check(item.text, field)
        inputs: list[PreparedText] = []
        left = MAX_SENTENCES
        for item, field in fields:
            inputs.append(self._prepare(item, field, most=left))
            left -= len(inputs[-1].spans)
        return request.with_inputs(inputs)

    def batch_key(self, item: PreparedItem) -> Hashable:
        """Items with equal keys may share a batch: the same options, and lengths that the engine mixes."""
        return (item.options, self._engine.batch_class(len(item.ids)))

    def output_tokens(self, result: Result) -> int:
        """How many tokens the best translation of a sentence has."""
        hypotheses: tuple[SentenceHypothesis, ...] = result.value
        return hypotheses[0].num_tokens

    def run(
        self,
        items: Sequence[PreparedItem],
        *,
        deadline: float | None = None,
        on_outcome: OnOutcome | None = None,
    ) -> list[Result | Failure]:
        """Decode in batches of equal options and similar length, equal items once; one outcome per item, in order.

        Batches that have not begun at ``deadline``, in seconds of ``time.monotonic``, are not computed any more.
        ``on_outcome`` hears of translations that end before the rest of their batch, from any thread.
        """
        distinct = list(dict.fromkeys(items))
        batches = self._batches(distinct)
        outcomes: dict[PreparedItem, Result | Failure] = {}
        for batch, answers in zip(batches, self._map(batches, deadline, on_outcome), strict=True):
            outcomes.update(zip(batch, answers, strict=True))
        return [outcomes[item] for item in items]

    def assemble(self, prepared: PreparedText, outcomes: Sequence[Result | Failure]) -> Result | Failure:
        """The Translation of a text from the outcomes of its items, or the first failure among them."""
        sentences: list[tuple[SentenceHypothesis, ...]] = []
        for outcome in outcomes:
            if isinstance(outcome, Failure):
                return outcome
            sentences.append(outcome.value)
        length_penalty = prepared.items[0].options.decoding.length_penalty
        return Result(assemble(prepared.text, prepared.spans, sentences, length_penalty=length_penalty))

    def render(self, request: Request, results: Sequence[Result]) -> dict[str, Any]:
        """LibreTranslate's response, with our own fields beside it."""
        assert isinstance(request, TranslationRequest)
        translations: list[Translation] = [result.value for result in results]
        columns: dict[str, list[Any]] = {"translatedText": [translation.text for translation in translations]}
        if request.alternatives:
            columns["alternatives"] = [list(translation.alternatives) for translation in translations]
        if request.return_scores:
            columns["scores"] = [list(translation.scores) for translation in translations]
        columns["finish_reason"] = [translation.finish_reason for translation in translations]
        body: dict[str, Any] = {name: column if request.is_list else column[0] for name, column in columns.items()}
        body["model"] = {
            "name": self._manifest.name,
            "version": self._manifest.version,
            "run_id": self._manifest.provenance.mlflow_run_id,
            "digest": f"sha256:{self._manifest.digest}",
        }
        return body

    def example(self) -> str:
        """Any text warms the engine up; this one has letters, digits and punctuation."""
        return "Room 12, please."

    def describe(self) -> Mapping[str, Any]:
        """The engine and where it runs."""
        return self._engine.describe()

    def close(self) -> None:
        """Free the engine."""
        self._pool.shutdown()
        self._engine.close()

    def _prepare(self, item: TranslationItem, field: str, *, most: int) -> PreparedText:
        options = Options(item.decoding, 1 + item.alternatives, item.return_scores)
        spans, items = [], []
        sentences = sentence_spans(item.text, self._manifest.languages.source)
        if len(sentences) > most:
            raise InvalidInput(
                f"{field} is the text that takes the request beyond {MAX_SENTENCES} sentences; send smaller requests",
                field=field,
                code="text_too_long",
            )
        for span, ids in self._tokenized(item.text, sentences, field):
            spans.append(span)
            items.append(PreparedItem(ids, options))
        return PreparedText(item.text, tuple(spans), tuple(items))

    def _check(self, text: Any, field: str) -> None:
        if not isinstance(text, str):
            raise InvalidInput(f"{field} must be text, got {type(text).__name__}", field=field)
        if not text.strip():
            raise InvalidInput(f"{field} is empty; give a text to translate", field=field)
        if len(text) > (limit := self._manifest.limits.max_characters):
            raise InvalidInput(
                f"{field} has {len(text)} characters, the limit is {limit}; split it into shorter texts",
                field=field,
                code="text_too_long",
            )
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InvalidInput(
                f"{field} holds half of a surrogate pair at character {error.start}; send valid Unicode", field=field
            ) from error

    def _tokenized(self, text: str, spans: Sequence[Span], field: str) -> Iterator[tuple[Span, tuple[int, ...]]]:
        """The sentences of a text with their ids, in order; one beyond the model's limit comes in several parts."""
        most = self._manifest.limits.max_source_tokens
        waiting = [(span, most) for span in reversed(spans)]
        while waiting:
            span, limit = waiting.pop()
            sentence = text[span[0] : span[1]]
            ids = (*self._tokenizer.encode(self._manifest.preprocessing.prefix + sentence), EOS_ID)
            if len(ids) <= limit:
                yield span, ids
            elif len(sentence) > 1:
                waiting += [(part, min(most, PART_TOKENS)) for part in reversed(halves(text, span))]
            elif len(ids) <= most:
                yield span, ids
            else:
                raise InvalidInput(
                    f"{field} holds {sentence!a}, which has {len(ids)} tokens, and the limit is {most}; leave it out",
                    field=field,
                    code="text_too_long",
                )

    def _batches(self, items: Sequence[PreparedItem]) -> list[list[PreparedItem]]:
        groups: dict[Hashable, list[PreparedItem]] = {}
        for item in items:
            groups.setdefault(self.batch_key(item), []).append(item)
        return [
            [group[position] for position in batch]
            for group in groups.values()
            for batch in token_batches([len(item.ids) for item in group], rows=group[0].rows)
        ]

    def _map(
        self, batches: list[list[PreparedItem]], deadline: float | None, on_outcome: OnOutcome | None
    ) -> list[list[Result | Failure]]:
        decode = functools.partial(self._decode_until, deadline, on_outcome)
        return [decode(batches[0])] if len(batches) == 1 else list(self._pool.map(decode, batches))

    def _decode_until(
        self, deadline: float | None, on_outcome: OnOutcome | None, batch: list[PreparedItem]
    ) -> list[Result | Failure]:
        if deadline is not None and time.monotonic() >= deadline:
            message = "the text was not translated in time; send less text at once, or send it again later"
            return [Failure(UnavailableError(message, code="deadline_exceeded"))] * len(batch)
        return self._decode(batch, on_outcome)

    def _decode(self, batch: list[PreparedItem], on_outcome: OnOutcome | None) -> list[Result | Failure]:
        decoding, num_hypotheses, return_scores = batch[0].options

        def report(place: int, row: list[Hypothesis]) -> None:
            assert on_outcome is not None
            on_outcome(batch[place], self._result(row))

        try:
            rows = self._engine.decode(
                [item.ids for item in batch],
                decoding,
                num_hypotheses=num_hypotheses,
                return_scores=return_scores,
                on_answer=report if on_outcome else None,
            )
            return [self._result(row) for row in rows]
        except Exception as error:
            # Whatever goes wrong in a batch is one item's doing, as a rule: halve it until that item stands alone.
            if len(batch) > 1:
                middle = len(batch) // 2
                return self._decode(batch[:middle], on_outcome) + self._decode(batch[middle:], on_outcome)
            log.exception("a sentence of %d tokens could not be translated", len(batch[0].ids))
            return [Failure(_unprocessable(error))]

    def _result(self, row: Sequence[Hypothesis]) -> Result:
        return Result(tuple(map(self._hypothesis, row)))

    def _hypothesis(self, hypothesis: Hypothesis) -> SentenceHypothesis:
        return SentenceHypothesis(
            text=self._tokenizer.decode(hypothesis.ids),
            num_tokens=hypothesis.num_tokens,
            score=hypothesis.score,
            finished=hypothesis.finished,
        )


def _unprocessable(error: Exception) -> InvalidInput:
    failure = InvalidInput(
        "the model failed on this text, and on this text alone; change it, or report it with the server's log",
        field="q",
        code="unprocessable_text",
    )
    failure.__cause__ = error
    return failure
