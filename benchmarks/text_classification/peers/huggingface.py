"""A batch of texts through ``AutoTokenizer`` and ``AutoModelForSequenceClassification``, as their own pages do it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from train.tasks.torchvision_pair import pair_torchvision

# transformers imports torchvision with its first model.
pair_torchvision()


class HuggingFaceClassifier:
    """The bundle's weights in fp32, on one thread; a text that is too long for the model is cut."""

    def __init__(self, bundle_dir: str) -> None:
        torch.set_num_threads(1)
        model_dir = Path(bundle_dir) / "model"
        self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(model_dir)
        self._model: Any = transformers.AutoModelForSequenceClassification.from_pretrained(model_dir).eval()
        self._longest = self._model.config.max_position_embeddings

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Return the best label and its probability for each text of a batch, padded to its longest text."""
        inputs = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=self._longest, return_tensors="pt"
        )
        probabilities = self._model(**inputs).logits.softmax(dim=-1)
        scores, classes = probabilities.max(dim=-1)
        names = self._model.config.id2label
        return [
            {"label": names[index], "score": score}
            for index, score in zip(classes.tolist(), scores.tolist(), strict=True)
        ]
