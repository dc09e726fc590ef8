"""Classification of images, each decoded to the pixels that the network sees."""

import base64
import contextlib
import json
import threading
from collections.abc import Sequence
from typing import Any, ClassVar

from dragoman.bundle.manifest import Manifest
from dragoman.bundle.model_card import Card
from dragoman.bundle.store import Bundle
from dragoman.engines.selection import open_engine
from dragoman.errors import BundleError, InvalidInput
from dragoman.items.bodies import RawRequest
from dragoman.items.outcomes import Result
from dragoman.tasks.base import Columns, Interface, Request
from dragoman.tasks.classification import Classifier, WeightedInput, label_and_score
from dragoman.tasks.image_classification import interface
from dragoman.tasks.image_classification.contents import FILES, MODEL_CONFIG_KEYS
from dragoman.tasks.image_classification.decoding import mirrored, pixels
from dragoman.tasks.image_classification.headers import read_header
from dragoman.tasks.image_classification.options import Limits, Options
from dragoman.tasks.image_classification.request import naming, parse_request, read_images

# A picture takes up to 24 bytes for each pixel while it is decoded (see ``decoding``). Large ones are decoded one at a
# time, so that a process needs that memory once, however many come together; what phones and web sites send need not
# wait for each other.
LARGE_PIXELS = 1 << 22
LARGE = threading.Lock()


class ImageClassification(Classifier):
    """Classification of images with a bundle's engine."""

    Options = Options
    Limits = Limits
    engines: ClassVar = {
        "onnxruntime": "dragoman.engines.onnx.session:OnnxClassifier",
        "torch": "dragoman.engines.onnx.torch_graph:TorchClassifier",
    }
    files = FILES
    model_config_keys = MODEL_CONFIG_KEYS
    # The smallest file may stand for millions of pixels, so none is decoded on an event loop.
    quick_body_bytes = 0
    takes_files = True
    example_item = interface.EXAMPLE
    variations: ClassVar = {
        "jpeg": "dragoman.tasks.image_classification.variations:jpeg",
        "mirrored": "dragoman.tasks.image_classification.variations:mirror",
    }

    def open(self, bundle: Bundle, *, engine: str, device: str) -> Any:
        """Open the engine, and check that it fits the manifest; raises BundleError or ConfigError."""
        preprocessing, labels = self.options.preprocessing, len(self.options.labels)
        path = bundle.model_dir / "config.json"
        classes = json.loads(path.read_text(encoding="utf-8")).get("num_classes")
        if classes != labels:
            raise BundleError(
                f"{path} does not fit the bundle: num_classes is {classes!r}, and the manifest has {labels} labels; "
                "export the model again"
            )
        return open_engine(
            self.engines,
            bundle,
            engine=engine,
            device=device,
            height=preprocessing.height,
            width=preprocessing.width,
            labels=labels,
        )

    @classmethod
    def interface(cls, manifest: Manifest) -> Interface:
        """Describe the route for the OpenAPI page."""
        return interface.route(manifest, cls.options_of(manifest), cls.limits_of(manifest))

    @classmethod
    def columns(cls, manifest: Manifest) -> Columns:
        """Describe a request as a row of a table, whose input is an image file."""
        return Columns(inputs={"inputs": "binary"}, outputs=super().columns(manifest).outputs)

    @classmethod
    def row(cls, body: Any) -> dict[str, Any]:
        """Return the most likely label with its probability, and the probabilities of all labels as JSON."""
        return dict(super().row([body]))

    @classmethod
    def card(cls, manifest: Manifest) -> Card:
        """Describe the model for its card."""
        return interface.card(cls.options_of(manifest), cls.limits_of(manifest))

    @classmethod
    def request_for(cls, inputs: Any) -> dict[str, Any]:
        """Make the body of a request, with image files in base64."""
        several = isinstance(inputs, list)
        encoded = [
            base64.b64encode(image).decode() if isinstance(image, bytes) else image
            for image in (inputs if several else [inputs])
        ]
        return {"inputs": encoded if several else encoded[0]}

    @classmethod
    def sample(cls, item: Any, reference: Any, output: Any) -> dict[str, Any]:
        """Return the row of a table of samples, with the kind and the size of an image in its place."""
        return {"image": _described(item), "reference": reference, **label_and_score(output)}

    def read(self, raw: RawRequest) -> Any:
        """See ``request.read_images``; raises InvalidInput."""
        return read_images(raw)

    def parse(self, payload: Any) -> Request:
        """Read the headers of all images of a body, and decode them; raises InvalidInput naming the field."""
        preprocessing, max_pixels = self.options.preprocessing, self.limits.max_pixels
        sent = parse_request(payload, options=self.options, limits=self.limits)
        inputs = []
        for picture, field in zip(sent.pictures, sent.fields, strict=True):
            is_large = picture.width * picture.height > LARGE_PIXELS
            with naming(field), LARGE if is_large else contextlib.nullcontext():
                found = pixels(picture, preprocessing, max_pixels=max_pixels)
            items = (found, mirrored(found, preprocessing)) if self.options.average_mirrored else (found,)
            inputs.append(WeightedInput(items=items, weights=(1,) * len(items), top_k=sent.top_k))
        fields = tuple(field or self.input_field for field in sent.fields)
        return Request(inputs=tuple(inputs), fields=fields, is_list=sent.is_list)

    def render(self, request: Request, results: Sequence[Result]) -> list[Any]:
        """Make Hugging Face's response: the labels of an image alone, or a list of labels for each of several."""
        answers = super().render(request, results)
        return answers if request.is_list else answers[0]


def _described(item: Any) -> str:
    """Describe an image file for people, in tables that cannot show it."""
    if not isinstance(item, bytes):
        return "no image"
    try:
        picture = read_header(item)
    except InvalidInput as error:
        return f"{error.code}, {len(item)} bytes"
    return f"{picture.width}x{picture.height} {picture.format}, {len(item)} bytes"
