"""A batch of texts through Hugging Face's tokenizer and ``generate``, as their own examples do it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from dragoman.bundle.manifest import Manifest
from dragoman.tasks.translation.task import TranslationTask
from train.tasks.torchvision_pair import pair_torchvision

# transformers imports torchvision with its first model.
pair_torchvision()


class HuggingFaceTranslator:
    """The bundle's weights in fp32, on one thread."""

    def __init__(self, bundle_dir: str, *, threads: int = 1) -> None:
        torch.set_num_threads(threads)
        manifest = Manifest.from_json((Path(bundle_dir) / "manifest.json").read_text("utf-8"), origin=bundle_dir)
        options = TranslationTask.options_of(manifest)
        self._prefix, self._decoding = options.preprocessing.prefix, options.decoding
        model_dir = Path(bundle_dir) / "model"
        self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(model_dir)
        self._model: Any = transformers.AutoModelForSeq2SeqLM.from_pretrained(model_dir).eval()

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> list[str]:
        """Translate a batch, padded to its longest text."""
        inputs = self._tokenizer([self._prefix + text for text in texts], padding=True, return_tensors="pt")
        output = self._model.generate(
            **inputs, num_beams=self._decoding.num_beams, max_new_tokens=self._decoding.max_new_tokens, do_sample=False
        )
        translations: list[str] = self._tokenizer.batch_decode(output, skip_special_tokens=True)
        return translations
