"""A batch of texts through CTranslate2's encoder, as its own documentation does it, and the head behind it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ctranslate2
import numpy
from safetensors.numpy import load_file
from transformers import AutoConfig, AutoTokenizer


class CTranslate2Classifier:
    """The bundle's int8 conversion with the tokenizer of the Hugging Face peer.

    It computes as many batches at once as it has ``workers``, each on one thread.
    """

    def __init__(self, bundle_dir: str, *, workers: int = 1) -> None:
        folder = Path(bundle_dir)
        config = AutoConfig.from_pretrained(folder / "model")
        self._names, self._longest = config.id2label, config.max_position_embeddings
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder / "model")
        conversion = folder / "engines" / "ct2-int8"
        self._encoder = ctranslate2.Encoder(str(conversion), device="cpu", inter_threads=workers, intra_threads=1)
        self._head = load_file(conversion / "head.safetensors")

    def __call__(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Return the best label of each text of a batch, in the form of the Hugging Face peer."""
        ids = self._tokenizer(list(texts), truncation=True, max_length=self._longest)["input_ids"]
        pooled = numpy.array(self._encoder.forward_batch(ids).pooler_output)
        logits = pooled @ self._head["classifier.weight"].T + self._head["classifier.bias"]
        return [{"label": self._names[index], "score": 1.0} for index in logits.argmax(axis=-1).tolist()]
