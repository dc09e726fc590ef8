"""Classification of texts, window by window, with either engine."""

import json
from collections.abc import Hashable
from typing import Any, ClassVar

from dragoman.bundle.manifest import Manifest
from dragoman.bundle.model_card import Card
from dragoman.bundle.store import Bundle
from dragoman.engines.bert.classifier import SequenceClassifier
from dragoman.engines.selection import open_engine
from dragoman.errors import BundleError
from dragoman.items.sizes import Size
from dragoman.tasks.base import Interface, Request
from dragoman.tasks.classification import Classifier, WeightedInput, Wording, check_body, label_and_score
from dragoman.tasks.text_classification import interface
from dragoman.tasks.text_classification.contents import FILES, MODEL_CONFIG_KEYS
from dragoman.tasks.text_classification.options import Limits, Options
from dragoman.tasks.text_classification.windows import cut_windows
from dragoman.text.checks import check_texts
from dragoman.text.wordpiece import WordPiece

WORDING = Wording(one="a text", member="text", many="texts", example="text")


class TextClassification(Classifier):
    """Classification of texts with a bundle's tokenizer and engine."""

    Options = Options
    Limits = Limits
    engines: ClassVar = {
        "ctranslate2": "dragoman.engines.ct2_encoder:CTranslate2Encoder",
        "torch": "dragoman.engines.torch_bert:TorchBert",
    }
    files = FILES
    model_config_keys = MODEL_CONFIG_KEYS
    # Half a millisecond, of which a wait for another thread would be a good part.
    quick_body_bytes = 1_000
    takes_text = True
    text_fields = frozenset({"inputs"})
    example_item = interface.EXAMPLE

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
    def interface(cls, manifest: Manifest) -> Interface:
        """Describe the route for the OpenAPI page."""
        return interface.route(manifest, cls.options_of(manifest), cls.limits_of(manifest))

    @classmethod
    def card(cls, manifest: Manifest) -> Card:
        """Describe the model for its card."""
        return interface.card(cls.options_of(manifest), cls.limits_of(manifest))

    @classmethod
    def sample(cls, item: Any, reference: Any, output: Any) -> dict[str, Any]:
        """Return the row of a table of samples."""
        return {"text": item, "reference": reference, **label_and_score(output)}

    def parse(self, payload: Any) -> Request:
        """Check a body, and cut its texts into windows; raises InvalidInput naming the field."""
        most, num_labels = self.limits.max_items, len(self.options.labels)
        sent = check_body(payload, WORDING, types=str, most=most, num_labels=num_labels)
        # All are checked before the first is tokenized, which takes longer.
        check_texts(sent.inputs, sent.fields, most=self.limits.max_characters, purpose="classify")
        inputs = tuple(self._prepare(text, sent.top_k) for text in sent.inputs)
        return Request(inputs=inputs, fields=sent.fields, is_list=sent.is_list)

    def batch_key(self, item: tuple[int, ...]) -> Hashable:
        """Return the key of windows of lengths that the engine mixes."""
        key: Hashable = self.engine.batch_class(len(item))
        return key

    def size(self, item: tuple[int, ...]) -> Size:
        """Return the tokens of a window."""
        return Size(len(item))

    def _prepare(self, text: str, top_k: int) -> WeightedInput:
        windows = cut_windows(
            self._tokenizer.encode(text),
            cls_id=self._tokenizer.cls_id,
            sep_id=self._tokenizer.sep_id,
            window_tokens=self.options.window_tokens,
            overlap_tokens=self.options.overlap_tokens,
        )
        return WeightedInput(
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
