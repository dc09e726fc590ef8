"""A TorchServe handler over Hugging Face alone; it travels into the archive by itself.

Its design is that of pytorch/serve, examples/torch_tensorrt/torchcompile/T5: the base handler's three steps, a
tokenizer over the whole batch, padded, then ``model.generate``. It differs where that example would be slow or wrong
here: it sets the longest output, which defaults to 20 tokens, and leaves out TensorRT, which has no CPU.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from ts.torch_handler.base_handler import BaseHandler

if TYPE_CHECKING:
    from train.tasks.torchvision_pair import pair_torchvision
else:
    # It lies beside this file in the archive.
    from torchvision_pair import pair_torchvision


class T5Handler(BaseHandler):  # type: ignore[misc]
    """Translation of plain texts in batches."""

    def initialize(self, context: Any) -> None:
        """Load the tokenizer and the weights."""
        torch.set_num_threads(1)
        pair_torchvision()
        # It imports torchvision with its first model, for which the way is clear only now.
        from transformers import AutoTokenizer, T5ForConditionalGeneration

        bundle_dir = Path(context.system_properties["model_dir"]) / "bundle"
        options = json.loads((bundle_dir / "manifest.json").read_text("utf-8"))["options"]
        self.prefix, self.decoding = options["preprocessing"]["prefix"], options["decoding"]
        self.tokenizer: Any = AutoTokenizer.from_pretrained(bundle_dir / "model")
        self.model: Any = T5ForConditionalGeneration.from_pretrained(bundle_dir / "model").eval()
        self.initialized = True

    def preprocess(self, data: Sequence[Mapping[str, Any]]) -> Any:
        """Return the input ids and the mask of a batch."""
        texts = [self.prefix + _text(row.get("data") or row["body"]) for row in data]
        return self.tokenizer(texts, padding=True, return_tensors="pt")

    @torch.inference_mode()
    def inference(self, data: Any, *args: Any, **kwargs: Any) -> list[str]:
        """Return the translations of a batch."""
        output = self.model.generate(
            **data, num_beams=self.decoding["num_beams"], max_new_tokens=self.decoding["max_new_tokens"]
        )
        translations: list[str] = self.tokenizer.batch_decode(output, skip_special_tokens=True)
        return translations

    def postprocess(self, data: list[str]) -> list[str]:
        """Return the translations as they are."""
        return data


def _text(body: Any) -> str:
    return bytes(body).decode("utf-8") if isinstance(body, (bytes, bytearray)) else str(body)
