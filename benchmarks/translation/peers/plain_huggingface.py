"""A T5 behind BentoML as their own pages show it: one file, ``transformers`` and ``torch``, the weights beside it."""

from pathlib import Path
from typing import Any

import bentoml
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

MODEL = Path(__file__).with_name("model")


@bentoml.service
class Translation:
    """Translation with Hugging Face's ``generate``."""

    def __init__(self) -> None:
        self._tokenizer: Any = AutoTokenizer.from_pretrained(MODEL)
        self._model: Any = AutoModelForSeq2SeqLM.from_pretrained(MODEL).eval()

    @bentoml.api  # type: ignore[untyped-decorator]
    def translate(self, text: str) -> str:
        """Translate one text."""
        output = self._model.generate(**self._tokenizer(text, return_tensors="pt"), max_new_tokens=128)
        return str(self._tokenizer.decode(output[0], skip_special_tokens=True))
