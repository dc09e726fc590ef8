"""A LitServe server over a bundle.

python -m benchmarks.translation.peers.litserve_server --bundle B --engine E --port N
"""

import argparse
from collections.abc import Callable, Sequence

import litserve

from benchmarks.peers.base import WORKERS

MAX_BATCH_SIZE = 32
BATCH_TIMEOUT_S = 0.01


class TranslationAPI(litserve.LitAPI):  # type: ignore[misc]
    """LitServe's four hooks over a function that translates a batch."""

    def __init__(self, bundle: str, engine: str) -> None:
        super().__init__(max_batch_size=MAX_BATCH_SIZE, batch_timeout=BATCH_TIMEOUT_S)
        self._bundle, self._engine = bundle, engine

    def setup(self, device: str) -> None:
        """Load the model, in the worker's process."""
        # Imported here, so that a server of one engine does not hold the other's libraries.
        if self._engine == "ctranslate2":
            from benchmarks.translation.peers.plain_ctranslate2 import CTranslate2Translator

            self._translate: Callable[[Sequence[str]], list[str]] = CTranslate2Translator(self._bundle)
        else:
            from benchmarks.translation.peers.huggingface import HuggingFaceTranslator

            self._translate = HuggingFaceTranslator(self._bundle)

    def decode_request(self, request: dict[str, str]) -> str:
        """Return the text of a request."""
        return request["text"]

    def predict(self, batch: Sequence[str]) -> list[str]:
        """Translate a batch."""
        return self._translate(batch)

    def encode_response(self, output: str) -> dict[str, str]:
        """Return the answer with a translation."""
        return {"translation": output}


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--engine", required=True, choices=("huggingface", "ctranslate2"))
    parser.add_argument("--port", required=True, type=int)
    options = parser.parse_args()
    server = litserve.LitServer(
        TranslationAPI(options.bundle, options.engine),
        accelerator="cpu",
        workers_per_device=WORKERS,
        timeout=120,
    )
    # One process for HTTP: with its default of one per worker, more processes than cores would compete.
    server.run(host="127.0.0.1", port=options.port, num_api_servers=1, generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main()
