"""Translation of texts, sentence by sentence, with either engine."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from dragoman.bundle.manifest import Manifest
from dragoman.bundle.model_card import Card
from dragoman.bundle.store import Bundle
from dragoman.engines.selection import open_engine
from dragoman.engines.seq2seq import Decoding, Hypothesis, Seq2SeqEngine
from dragoman.errors import InvalidInput
from dragoman.items.outcomes import Failure, OnOutcome, Result
from dragoman.items.sizes import Size
from dragoman.tasks.base import Columns, Interface, Page, Task
from dragoman.tasks.translation import interface
from dragoman.tasks.translation.contents import FILES, MODEL_CONFIG_KEYS
from dragoman.tasks.translation.options import Limits, Options
from dragoman.tasks.translation.request import FIELDS, TranslationItem, TranslationRequest, parse_request
from dragoman.tasks.translation.result import SentenceHypothesis, Translation, assemble
from dragoman.text.checks import check_texts
from dragoman.text.documents import Span, halves, sentence_spans
from dragoman.text.tokenizer import EOS_ID, Tokenizer

# A sentence that is too long for the model is cut into parts of at most so many tokens: few enough that they share
# batches with other sentences, and that a translation a third longer ends before the usual limit of 128 tokens.
PART_TOKENS = 96
# Sentences that one request may hold: as many as 200,000 characters can have, when each is a letter on a line. Lists of
# such texts would have answers many times as long as the question.
MAX_SENTENCES = 100_000


class Search(NamedTuple):
    """The decoding options that the sentences of a batch have in common."""

    decoding: Decoding
    num_hypotheses: int
    return_scores: bool


@dataclass(frozen=True)
class PreparedItem:
    """A sentence as source ids, with its decoding options; equal items have equal answers."""

    ids: tuple[int, ...]
    search: Search


@dataclass(frozen=True)
class PreparedText:
    """A text, the spans of its sentences, and an item for each."""

    text: str
    spans: tuple[Span, ...]
    items: tuple[PreparedItem, ...]


class TranslationTask(Task):
    """Translation of texts with a bundle's tokenizer and engine."""

    Options = Options
    Limits = Limits
    engines: ClassVar = {
        "ctranslate2": "dragoman.engines.ct2:CTranslate2Engine",
        "torch": "dragoman.engines.torch_t5:TorchEngine",
    }
    files = FILES
    model_config_keys = MODEL_CONFIG_KEYS
    route = "/translate"
    input_field, output_field = "q", "translatedText"
    # A tenth of a millisecond as a rule, and two where every other character is a line end. A thread costs as much as
    # the first, and a wait for the interpreter's lock.
    quick_body_bytes = 500
    request_fields = FIELDS
    page_paths = ("/languages",)
    takes_text = True
    text_fields = frozenset({"q", "source", "target", "format", "api_key"})
    # It has letters, digits and punctuation.
    example_item = "Room 12, please."
    no_output = ""

    def open(self, bundle: Bundle, *, engine: str, device: str) -> Seq2SeqEngine:
        """Load the tokenizer, and the engine for requests within the limits; raises BundleError or ConfigError."""
        self._tokenizer = Tokenizer(bundle.model_dir / "spiece.model")
        opened: Seq2SeqEngine = open_engine(
            self.engines,
            bundle,
            engine=engine,
            device=device,
            tokenizer=self._tokenizer,
            max_source_tokens=self.limits.max_source_tokens,
            max_new_tokens=self.limits.max_new_tokens,
            max_beams=self.limits.max_beams,
        )
        return opened

    @classmethod
    def work(cls, manifest: Manifest) -> str:
        """Name the pair of languages: only models of one pair can be compared."""
        languages = cls.options_of(manifest).languages
        return f"{manifest.task} {languages.source}-{languages.target}"

    @classmethod
    def interface(cls, manifest: Manifest) -> Interface:
        """Describe the route for the OpenAPI page."""
        return interface.route(manifest, cls.options_of(manifest), cls.limits_of(manifest))

    @classmethod
    def pages(cls, manifest: Manifest) -> Mapping[str, Page]:
        """List the languages, as LibreTranslate does."""
        return {cls.page_paths[0]: interface.languages_page(cls.options_of(manifest).languages)}

    @classmethod
    def columns(cls, manifest: Manifest) -> Columns:
        """Describe a request as a row of a table."""
        decoding = cls.options_of(manifest).decoding
        return Columns(
            inputs={"q": "string"},
            outputs={"translation": "string", "finish_reason": "string"},
            params={"num_beams": decoding.num_beams, "max_new_tokens": decoding.max_new_tokens},
        )

    @classmethod
    def row(cls, body: Any) -> Mapping[str, Any]:
        """Read the output columns from an answer."""
        return {"translation": body["translatedText"], "finish_reason": body["finish_reason"]}

    @classmethod
    def card(cls, manifest: Manifest) -> Card:
        """Describe the model for its card."""
        return interface.card(cls.options_of(manifest), cls.limits_of(manifest))

    @staticmethod
    def output(value: Translation) -> str:
        """Return the text."""
        return value.text

    @classmethod
    def sample(cls, item: Any, reference: Any, output: Any) -> dict[str, Any]:
        """Return the row of a table of samples."""
        return {"source": item, "reference": reference, "hypothesis": output}

    def prepare(self, item: str | TranslationItem) -> PreparedText:
        """Split and tokenize a text (a plain string takes the bundle's decoding defaults); raises InvalidInput."""
        if not isinstance(item, TranslationItem):
            item = TranslationItem(text=item, decoding=self.options.decoding)
        check_texts([item.text], ["q"], most=self.limits.max_characters, purpose="translate")
        return self._prepare(item, field="q", most=MAX_SENTENCES)

    def parse(self, payload: Any) -> TranslationRequest:
        """See ``request.parse_request``; raises InvalidInput naming the field."""
        request = parse_request(payload, self.options, self.limits)
        fields = list(zip(request.texts, request.fields, strict=True))
        # All are checked before the first is tokenized, which takes longer.
        texts = [item.text for item in request.texts]
        check_texts(texts, request.fields, most=self.limits.max_characters, purpose="translate")
        inputs: list[PreparedText] = []
        left = MAX_SENTENCES
        for item, field in fields:
            inputs.append(self._prepare(item, field, most=left))
            left -= len(inputs[-1].spans)
        return request.with_inputs(inputs)

    def batch_key(self, item: PreparedItem) -> Hashable:
        """Return the key of sentences with equal options and of lengths that the engine mixes."""
        return (item.search, self.engine.batch_class(len(item.ids)))

    def size(self, item: PreparedItem) -> Size:
        """Return the tokens of a sentence, and the rows of its beam."""
        return Size(len(item.ids), item.search.decoding.num_beams)

    def output_size(self, result: Result) -> int:
        """Count the tokens of the best translation of a sentence."""
        hypotheses: tuple[SentenceHypothesis, ...] = result.value
        return hypotheses[0].num_tokens

    def run(self, batch: Sequence[PreparedItem], *, on_outcome: OnOutcome | None = None) -> list[Result | Failure]:
        """Decode one batch; ``on_outcome`` gets the translations that end before the rest of their batch."""
        decoding, num_hypotheses, return_scores = batch[0].search

        def report(place: int, row: list[Hypothesis]) -> None:
            assert on_outcome is not None
            on_outcome(batch[place], self._result(row))

        rows = self.engine.decode(
            [item.ids for item in batch],
            decoding,
            num_hypotheses=num_hypotheses,
            return_scores=return_scores,
            on_answer=report if on_outcome else None,
        )
        return [self._result(row) for row in rows]

    def assemble(self, prepared: PreparedText, outcomes: Sequence[Result | Failure]) -> Result | Failure:
        """Make the Translation of a text from the outcomes of its items, or the first failure among them."""
        sentences: list[tuple[SentenceHypothesis, ...]] = []
        for outcome in outcomes:
            if isinstance(outcome, Failure):
                return outcome
            sentences.append(outcome.value)
        length_penalty = prepared.items[0].search.decoding.length_penalty
        return Result(assemble(prepared.text, prepared.spans, sentences, length_penalty=length_penalty))

    def render(self, request: TranslationRequest, results: Sequence[Result]) -> dict[str, Any]:
        """Make LibreTranslate's response, with our own fields beside it."""
        translations: list[Translation] = [result.value for result in results]
        columns: dict[str, list[Any]] = {"translatedText": [translation.text for translation in translations]}
        if request.alternatives:
            columns["alternatives"] = [list(translation.alternatives) for translation in translations]
        if request.return_scores:
            columns["scores"] = [list(translation.scores) for translation in translations]
        columns["finish_reason"] = [translation.finish_reason for translation in translations]
        body: dict[str, Any] = {name: column if request.is_list else column[0] for name, column in columns.items()}
        body["model"] = self.manifest.identity()
        return body

    def _prepare(self, item: TranslationItem, field: str, *, most: int) -> PreparedText:
        """Tokenize the sentences of a text, in order; one beyond the model's limit becomes several parts."""
        sentences = sentence_spans(item.text, self.options.languages.source)
        if len(sentences) > most:
            raise InvalidInput(
                f"{field} is the text that takes the request beyond {MAX_SENTENCES} sentences; send smaller requests",
                field=field,
                code="text_too_long",
            )
        search = Search(item.decoding, 1 + item.alternatives, item.return_scores)
        limit = self.limits.max_source_tokens
        spans, items = [], []
        # A stack of spans with the tokens that each may have: a sentence the model's limit, a part less than that.
        waiting = [(span, limit) for span in reversed(sentences)]
        while waiting:
            span, most_tokens = waiting.pop()
            sentence = item.text[span[0] : span[1]]
            ids = (*self._tokenizer.encode(self.options.preprocessing.prefix + sentence), EOS_ID)
            if len(ids) <= most_tokens or (len(sentence) == 1 and len(ids) <= limit):
                spans.append(span)
                items.append(PreparedItem(ids, search))
            elif len(sentence) > 1:
                waiting += [(part, min(limit, PART_TOKENS)) for part in reversed(halves(item.text, span))]
            else:
                raise InvalidInput(
                    f"{field} holds {sentence!a}, which has {len(ids)} tokens, and the limit is {limit}; leave it out",
                    field=field,
                    code="text_too_long",
                )
        return PreparedText(item.text, tuple(spans), tuple(items))

    def _result(self, row: Sequence[Hypothesis]) -> Result:
        hypotheses = []
        for hypothesis in row:
            text = self._tokenizer.decode(hypothesis.ids)
            num_tokens, score, finished = hypothesis.num_tokens, hypothesis.score, hypothesis.finished
            hypotheses.append(SentenceHypothesis(text=text, num_tokens=num_tokens, score=score, finished=finished))
        return Result(tuple(hypotheses))
