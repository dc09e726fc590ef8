"""Classification of texts, window by window, with either engine."""

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from dragoman.bundle.manifest import Manifest
from dragoman.bundle.model_card import Card
from dragoman.bundle.store import Bundle
from dragoman.engines.bert.classifier import SequenceClassifier
from dragoman.engines.selection import open_engine
from dragoman.errors import BundleError
from dragoman.items.outcomes import Failure, OnOutcome, Result
from dragoman.items.sizes import Size
from dragoman.tasks.base import Columns, Input, Interface, Request, Task
from dragoman.tasks.text_classification import interface
from dragoman.tasks.text_classification.contents import FILES, MODEL_CONFIG_KEYS
from dragoman.tasks.text_classification.options import Limits, Options
from dragoman.tasks.text_classification.request import FIELDS, parse_request
from dragoman.tasks.text_classification.result import Classification, classify
from dragoman.tasks.text_classification.windows import cut_windows
from dragoman.text.checks import check_texts
from dragoman.text.wordpiece import WordPiece


@dataclass(frozen=True, kw_only=True)
class PreparedText(Input):
    """A text as windows of ids, its items, with the weight of each and the number of labels wanted."""

    weights: tuple[int, ...]
    top_k: int


class TextClassification(Task):
    """Classification of texts with a bundle's tokenizer and engine."""

    Options = Options
    Limits = Limits
    engines: ClassVar = {
        "ctranslate2": "dragoman.engines.ct2_encoder:CTranslate2Encoder",
        "torch": "dragoman.engines.torch_bert:TorchBert",
    }
    files = FILES
    model_config_keys = MODEL_CONFIG_KEYS
    route = "/classify"
    # Half a millisecond, of which a wait for another thread would be a good part.
    quick_body_bytes = 1_000
    request_fields = FIELDS
    takes_text = True
    text_fields = frozenset({"inputs"})
    example_item = interface.EXAMPLE
    no_output: ClassVar[Any] = {}

    def open(self, bundle: Bundle, *, engine: str, device: str) -> SequenceClassifier:
        """Load the tokenizer and the engine, and check that they fit; raises BundleError or ConfigError."""
        self._tokenizer = WordPiece(bundle.model_dir / "tokenizer.json")
        _check_config(bundle, self.options, vocabulary=self._tokenizer.size)
        opened: SequenceClassifier = open_engine(
            self.engines,
            bundle,
            engine=engine,
            device=device,
            max_tokens=self.options.window_tokens,
            vocabulary=self._tokenizer.size,
            labels=len(self.options.labels),
        )
        return opened

    @classmethod
    def options_of(cls, manifest: Manifest) -> Any:
        """Read the options of a manifest; raises BundleError naming all faults."""
        options = super().options_of(manifest)
        problem = options.problem()
        if problem:
            raise BundleError(f"the options of {manifest.name} are wrong: {problem}; export the model again")
        return options

    @classmethod
    def work(cls, manifest: Manifest) -> str:
        """Name the labels: only models of the same ones can be compared."""
        # In quotation marks, since a label may hold a comma.
        labels = (json.dumps(label, ensure_ascii=False) for label in sorted(cls.options_of(manifest).labels))
        return f"{manifest.task} by {', '.join(labels)}"

    @classmethod
    def interface(cls, manifest: Manifest) -> Interface:
        """Describe the route for the OpenAPI page."""
        return interface.route(manifest, cls.options_of(manifest), cls.limits_of(manifest))

    @classmethod
    def columns(cls, manifest: Manifest) -> Columns:
        """Describe a request as a row of a table."""
        return interface.COLUMNS

    @classmethod
    def row(cls, body: Any) -> Mapping[str, Any]:
        """Return the most likely label with its probability, and the probabilities of all labels as JSON."""
        (scores,) = cls.outputs_of(body)
        label, score = next(iter(scores.items()))
        return {"label": label, "score": score, "scores": json.dumps(scores, ensure_ascii=False)}

    @classmethod
    def card(cls, manifest: Manifest) -> Card:
        """Describe the model for its card."""
        return interface.card(cls.options_of(manifest), cls.limits_of(manifest))

    @classmethod
    def outputs_of(cls, body: Any) -> list[dict[str, float]]:
        """Read the probabilities by label of each text, in the form of ``output``."""
        return [{entry["label"]: entry["score"] for entry in entries} for entries in body]

    @staticmethod
    def output(value: Classification) -> dict[str, float]:
        """Return the probabilities by label, highest first."""
        return dict(value.scores)

    @classmethod
    def line(cls, output: dict[str, float]) -> str:
        """Write the most likely label and its probability."""
        label, score = next(iter(output.items()))
        return f"{label}\t{score:.4f}"

    @classmethod
    def sample(cls, item: Any, reference: Any, output: Any) -> dict[str, Any]:
        """Return the row of a table of samples; the output of a refused text is empty."""
        label, score = next(iter(output.items()), (None, None))
        # For people: no more digits than they compare.
        shown = None if score is None else round(score, 4)
        return {"text": item, "reference": reference, "label": label, "score": shown}

    def parse(self, payload: Any) -> Request:
        """See ``request.parse_request``; raises InvalidInput naming the field."""
        sent = parse_request(payload, num_labels=len(self.options.labels), limits=self.limits)
        # All are checked before the first is tokenized, which takes longer.
        check_texts(sent.texts, sent.fields, most=self.limits.max_characters, purpose="classify")
        inputs = tuple(self._prepare(text, sent.top_k) for text in sent.texts)
        return Request(inputs=inputs, fields=sent.fields, is_list=sent.is_list)

    def batch_key(self, item: tuple[int, ...]) -> Hashable:
        """Return the key of windows of lengths that the engine mixes."""
        key: Hashable = self.engine.batch_class(len(item))
        return key

    def size(self, item: tuple[int, ...]) -> Size:
        """Return the tokens of a window."""
        return Size(len(item))

    def run(self, batch: Sequence[tuple[int, ...]], *, on_outcome: OnOutcome | None = None) -> list[Result | Failure]:
        """Compute the logits of a batch of windows."""
        return [Result(row) for row in self.engine.logits(batch)]

    def assemble(self, prepared: PreparedText, outcomes: Sequence[Result | Failure]) -> Result | Failure:
        """Make the Classification of a text from the logits of its windows, or the first failure among them."""
        logits: list[tuple[float, ...]] = []
        for outcome in outcomes:
            if isinstance(outcome, Failure):
                return outcome
            logits.append(outcome.value)
        labels, temperature = self.options.labels, self.options.temperature
        found = classify(logits, prepared.weights, labels=labels, temperature=temperature)
        return Result(Classification(found.scores[: prepared.top_k]))

    def render(self, request: Request, results: Sequence[Result]) -> list[list[dict[str, Any]]]:
        """Make Hugging Face's response, a list for each text, with the model's name and version in each entry."""
        model = f"{self.manifest.name}:{self.manifest.version}"
        found: list[Classification] = [result.value for result in results]
        return [
            [{"label": label, "score": score, "model": model} for label, score in classification.scores]
            for classification in found
        ]

    def answer_size(self, request: Request) -> int:
        """Count the windows that are averaged and the labels that are given."""
        texts: tuple[PreparedText, ...] = request.inputs
        return len(request.items) + sum(prepared.top_k for prepared in texts)

    def _prepare(self, text: str, top_k: int) -> PreparedText:
        windows = cut_windows(
            self._tokenizer.encode(text),
            cls_id=self._tokenizer.cls_id,
            sep_id=self._tokenizer.sep_id,
            window_tokens=self.options.window_tokens,
            overlap_tokens=self.options.overlap_tokens,
        )
        return PreparedText(
            items=tuple(window.ids for window in windows),
            weights=tuple(window.new_tokens for window in windows),
            top_k=top_k,
        )


def _check_config(bundle: Bundle, options: Options, *, vocabulary: int) -> None:
    """Raise BundleError for a model that has no row for a token or a place, or other labels than the manifest."""
    path = bundle.model_dir / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    labels = {str(place): label for place, label in enumerate(options.labels)}
    places = {"vocab_size": vocabulary, "max_position_embeddings": options.window_tokens}
    problems = [
        f"{key} is {config.get(key)!r}, and {least} are needed"
        for key, least in places.items()
        if type(config.get(key)) is not int or config[key] < least
    ]
    if config.get("id2label") != labels:
        problems.append("id2label differs from the labels of the manifest")
    if problems:
        raise BundleError(f"{path} does not fit the bundle: {'; '.join(problems)}; export the model again")
