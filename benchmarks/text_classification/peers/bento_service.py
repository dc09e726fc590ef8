"""BentoML services over Hugging Face, as its pages "Hello world" and "Adaptive batching" write them.

bentoml serve benchmarks.text_classification.peers.bento_service:Batched --arg bundle=B
"""

from typing import Any

import bentoml
import pydantic

from benchmarks.peers.base import WORKERS
from benchmarks.peers.bento import MAX_BATCH_SIZE, MAX_LATENCY_MS
from benchmarks.text_classification.peers.huggingface import HuggingFaceClassifier


class PeerArguments(pydantic.BaseModel):
    """The values of ``bentoml serve --arg``."""

    bundle: str


@bentoml.service(workers=WORKERS, traffic={"timeout": 120})
class OneByOne:
    """Classification of one text a request."""

    arguments = bentoml.use_arguments(PeerArguments)

    def __init__(self) -> None:
        self._classify = HuggingFaceClassifier(self.arguments.bundle)

    @bentoml.api(route="/classify")  # type: ignore[untyped-decorator]
    def classify(self, text: str) -> dict[str, Any]:
        """Classify a text."""
        return self._classify([text])[0]


@bentoml.service(workers=WORKERS, traffic={"timeout": 120})
class Batched:
    """Classification in batches that BentoML makes."""

    arguments = bentoml.use_arguments(PeerArguments)

    def __init__(self) -> None:
        self._classify = HuggingFaceClassifier(self.arguments.bundle)

    @bentoml.api(  # type: ignore[untyped-decorator]
        route="/classify", batchable=True, max_batch_size=MAX_BATCH_SIZE, max_latency_ms=MAX_LATENCY_MS
    )
    def classify(self, texts: list[str]) -> list[dict[str, Any]]:
        """Classify a batch."""
        return self._classify(texts)
