"""A TorchServe handler over Hugging Face alone; it travels into the archive by itself.

Its design is that of pytorch/serve, examples/Huggingface_Transformers: the base handler's three steps over
``AutoTokenizer`` and ``AutoModelForSequenceClassification``, answering with the name of the best class. It differs
where that example would be slow or wrong here: the tokenizer takes the whole batch and pads it to its longest text,
where the example tokenizes one by one and pads each to its setting's 150 tokens; nothing is logged or printed for each
request; and there are neither gradients nor Captum.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from ts.torch_handler.base_handler import BaseHandler

if TYPE_CHECKING:
    from train.tasks.torchvision_pair import pair_torchvision
else:
    # It lies beside this file in the archive.
    from torchvision_pair import pair_torchvision


class ClassifierHandler(BaseHandler):  # type: ignore[misc]
    """Classification of plain texts in batches."""

    def initialize(self, context: Any) -> None:
        """Load the tokenizer and the weights."""
        torch.set_num_threads(1)
        # transformers imports torchvision with its first model.
        pair_torchvision()
        model_dir = Path(context.system_properties["model_dir"]) / "bundle" / "model"
        self.tokenizer: Any = AutoTokenizer.from_pretrained(model_dir)
        self.model: Any = AutoModelForSequenceClassification.from_pretrained(model_dir).eval()
        self.mapping = self.model.config.id2label
        self.max_length = self.model.config.max_position_embeddings
        self.initialized = True

    def preprocess(self, data: Sequence[Mapping[str, Any]]) -> Any:
        """Return the input ids and the mask of a batch."""
        texts = [_text(row.get("data") or row["body"]) for row in data]
        return self.tokenizer(texts, padding=True, truncation=True, max_length=self.max_length, return_tensors="pt")

    @torch.inference_mode()
    def inference(self, data: Any, *args: Any, **kwargs: Any) -> list[str]:
        """Return the names of the best classes of a batch."""
        return [self.mapping[index] for index in self.model(**data).logits.argmax(dim=-1).tolist()]

    def postprocess(self, data: list[str]) -> list[str]:
        """Return the names as they are."""
        return data


def _text(body: Any) -> str:
    return bytes(body).decode("utf-8") if isinstance(body, (bytes, bytearray)) else str(body)
