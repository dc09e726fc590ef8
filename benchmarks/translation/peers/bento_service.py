"""BentoML's adaptive batching over Hugging Face.

bentoml serve benchmarks.translation.peers.bento_service:Batched --arg bundle=B

The form of BentoML's own page on adaptive batching: a batchable method that takes and gives lists.
"""

import bentoml
import pydantic

from benchmarks.peers.base import WORKERS
from benchmarks.peers.bento import MAX_BATCH_SIZE, MAX_LATENCY_MS
from benchmarks.translation.peers.huggingface import HuggingFaceTranslator


class PeerArguments(pydantic.BaseModel):
    """The values of ``bentoml serve --arg``."""

    bundle: str


@bentoml.service(workers=WORKERS, traffic={"timeout": 120})
class Batched:
    """Translation in batches that BentoML makes."""

    arguments = bentoml.use_arguments(PeerArguments)

    def __init__(self) -> None:
        self._translate = HuggingFaceTranslator(self.arguments.bundle)

    @bentoml.api(  # type: ignore[untyped-decorator]
        route="/translate", batchable=True, max_batch_size=MAX_BATCH_SIZE, max_latency_ms=MAX_LATENCY_MS
    )
    def translate(self, texts: list[str]) -> list[str]:
        """Translate a batch."""
        return self._translate(texts)
