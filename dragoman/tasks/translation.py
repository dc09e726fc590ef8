"""Translation at run time: texts in, texts out, over either engine."""

import logging
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from dragoman.batching import token_batches
from dragoman.bundle import Bundle
from dragoman.engines import Hypothesis, open_engine
from dragoman.errors import InvalidInput
from dragoman.manifest import Decoding
from dragoman.tasks import Failure, Request, Result
from dragoman.tasks.translation_request import TranslationItem, TranslationRequest, parse_request
from dragoman.tokenizer import EOS_ID, Tokenizer

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Translation:
    """One translated text; ``finish_reason`` is ``length`` when the token limit cut it, ``stop`` otherwise.

    ``scores`` are length-normalised log-probabilities of the text and its alternatives, empty unless asked for.
    """

    text: str
    alternatives: tuple[str, ...]
    scores: tuple[float, ...]
    finish_reason: str


@dataclass(frozen=True)
class PreparedItem:
    """A text as source ids, with the options it is decoded with."""

    ids: tuple[int, ...]
    item: TranslationItem

    @property
    def options(self) -> tuple[Decoding, int, bool]:
        """What a batch must have in common."""
        return (self.item.decoding, 1 + self.item.alternatives, self.item.return_scores)


class TranslationTask:
    """A bundle's tokenizer and engine, spoken to in texts."""

    text_fields = frozenset({"q", "source", "target", "format", "api_key"})

    def __init__(self, bundle: Bundle, *, engine: str, device: str) -> None:
        """Load the tokenizer and the engine; raises BundleError or ConfigError."""
        self._manifest = bundle.manifest
        self._tokenizer = Tokenizer(bundle.model_dir / "spiece.model")
        self._engine = open_engine(bundle, self._tokenizer, engine=engine, device=device)
        # An engine that computes several batches at once needs as many threads that wait for them.
        self._pool = ThreadPoolExecutor(self._engine.parallel_batches, thread_name_prefix="decode")

    def prepare(self, item: str | TranslationItem) -> PreparedItem:
        """Tokenize a text (a plain string takes the bundle's decoding defaults); raises InvalidInput."""
        if not isinstance(item, TranslationItem):
            item = TranslationItem(text=item, decoding=self._manifest.decoding)
        return self._tokenize(item, field="q")

    def parse(self, payload: Any) -> TranslationRequest:
        """See ``translation_request``; raises InvalidInput naming the field."""
        request = parse_request(payload, self._manifest)
        fields = [f"q[{index}]" if request.is_list else "q" for index in range(len(request.texts))]
        items = tuple(self._tokenize(item, field) for item, field in zip(request.texts, fields, strict=True))
        return request.with_items(items)

    def batch_key(self, item: PreparedItem) -> Hashable:
        """Items with equal keys may share a batch: the same options, and lengths that the engine mixes."""
        length = len(item.ids)
        return (item.options, length if length > self._engine.mixed_lengths_up_to else None)

    def run(self, items: Sequence[PreparedItem]) -> list[Result | Failure]:
        """Decode in batches of equal options and similar length; one outcome per item, in order."""
        outcomes: dict[int, Result | Failure] = {}
        for batch, answers in zip(
            batches := self._batches(items),
            self._map([[items[index] for index in batch] for batch in batches]),
            strict=True,
        ):
            outcomes.update(zip(batch, answers, strict=True))
        return [outcomes[index] for index in range(len(items))]

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
        return {"engine": self._engine.name, "device": self._engine.device, "parallel": self._engine.parallel_batches}

    def close(self) -> None:
        """Free the engine."""
        self._pool.shutdown()
        self._engine.close()

    def _tokenize(self, item: TranslationItem, field: str) -> PreparedItem:
        text, limits = item.text, self._manifest.limits
        if not isinstance(text, str):
            raise InvalidInput(f"{field} must be text, got {type(text).__name__}", field=field)
        if not text.strip():
            raise InvalidInput(f"{field} is empty; give a text to translate", field=field)
        if len(text) > limits.max_characters:
            raise _too_long(field, len(text), "characters", limits.max_characters)
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InvalidInput(
                f"{field} holds half of a surrogate pair at character {error.start}; send valid Unicode", field=field
            ) from error
        ids = (*self._tokenizer.encode(self._manifest.preprocessing.prefix + text), EOS_ID)
        if len(ids) > limits.max_source_tokens:
            raise _too_long(field, len(ids), "tokens", limits.max_source_tokens)
        return PreparedItem(ids, item)

    def _batches(self, items: Sequence[PreparedItem]) -> list[list[int]]:
        groups: dict[Hashable, list[int]] = {}
        for index, item in enumerate(items):
            groups.setdefault(self.batch_key(item), []).append(index)
        return [
            [group[position] for position in batch]
            for group in groups.values()
            for batch in token_batches([len(items[index].ids) for index in group])
        ]

    def _map(self, batches: list[list[PreparedItem]]) -> list[list[Result | Failure]]:
        if len(batches) == 1:
            return [self._decode(batches[0])]
        return list(self._pool.map(self._decode, batches))

    def _decode(self, batch: list[PreparedItem]) -> list[Result | Failure]:
        decoding, num_hypotheses, return_scores = batch[0].options
        try:
            rows = self._engine.decode(
                [item.ids for item in batch], decoding, num_hypotheses=num_hypotheses, return_scores=return_scores
            )
            return [Result(self._translation(row)) for row in rows]
        except Exception as error:
            # Whatever goes wrong in a batch is one item's doing, as a rule: halve it until that item stands alone.
            if len(batch) > 1:
                middle = len(batch) // 2
                return self._decode(batch[:middle]) + self._decode(batch[middle:])
            log.exception("a text of %d tokens could not be translated", len(batch[0].ids))
            return [Failure(_unprocessable(error))]

    def _translation(self, hypotheses: list[Hypothesis]) -> Translation:
        texts = [self._tokenizer.decode(hypothesis.ids) for hypothesis in hypotheses]
        return Translation(
            text=texts[0],
            alternatives=tuple(texts[1:]),
            scores=tuple(hypothesis.score for hypothesis in hypotheses if hypothesis.score is not None),
            finish_reason="stop" if hypotheses[0].finished else "length",
        )


def _too_long(field: str, size: int, unit: str, limit: int) -> InvalidInput:
    message = f"{field} has {size} {unit}, the limit is {limit}; split it into shorter texts"
    return InvalidInput(message, field=field, code="text_too_long")


def _unprocessable(error: Exception) -> InvalidInput:
    failure = InvalidInput(
        "the model failed on this text, and on this text alone; change it, or report it with the server's log",
        field="q",
        code="unprocessable_text",
    )
    failure.__cause__ = error
    return failure
