"""BentoML services over timm, as its pages "Input and output types" and "Adaptive batching" write them.

bentoml serve benchmarks.image_classification.peers.bento_service:Batched --arg bundle=B
"""

import bentoml
import pydantic
from PIL.Image import Image

from benchmarks.image_classification.peers.timm_classifier import TimmClassifier
from benchmarks.peers.base import WORKERS
from benchmarks.peers.bento import MAX_BATCH_SIZE, MAX_LATENCY_MS


class PeerArguments(pydantic.BaseModel):
    """The values of ``bentoml serve --arg``."""

    bundle: str


@bentoml.service(workers=WORKERS, traffic={"timeout": 120})
class OneByOne:
    """Classification of one image a request."""

    arguments = bentoml.use_arguments(PeerArguments)

    def __init__(self) -> None:
        self._classifier = TimmClassifier(self.arguments.bundle)

    @bentoml.api(route="/classify")  # type: ignore[untyped-decorator]
    def classify(self, image: Image) -> dict[str, float]:
        """Classify an image."""
        return self._classifier.classify([self._classifier.prepare(image)])[0]


@bentoml.service(workers=WORKERS, traffic={"timeout": 120})
class Batched:
    """Classification in batches that BentoML makes."""

    arguments = bentoml.use_arguments(PeerArguments)

    def __init__(self) -> None:
        self._classifier = TimmClassifier(self.arguments.bundle)

    @bentoml.api(  # type: ignore[untyped-decorator]
        route="/classify", batchable=True, max_batch_size=MAX_BATCH_SIZE, max_latency_ms=MAX_LATENCY_MS
    )
    def classify(self, images: list[Image]) -> list[dict[str, float]]:
        """Classify a batch."""
        return self._classifier.classify([self._classifier.prepare(image) for image in images])
