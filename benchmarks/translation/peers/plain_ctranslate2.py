"""A batch of texts through CTranslate2's ``translate_batch``, as its own documentation does it."""

import os
from collections.abc import Sequence
from pathlib import Path

import ctranslate2
from sentencepiece import SentencePieceProcessor

from dragoman.bundle.manifest import Manifest
from dragoman.tasks.translation.task import TranslationTask

END = "</s>"


class CTranslate2Translator:
    """The bundle's int8 conversion, translating as many batches at once as it has ``workers``, each on one thread."""

    def __init__(self, bundle_dir: str, *, workers: int = 1) -> None:
        folder = Path(bundle_dir)
        manifest = Manifest.from_json((folder / "manifest.json").read_text("utf-8"), origin=bundle_dir)
        options = TranslationTask.options_of(manifest)
        self._prefix, self._decoding = options.preprocessing.prefix, options.decoding
        self._pieces = SentencePieceProcessor()
        self._pieces.Load(os.fspath(folder / "model" / "spiece.model"))
        self._translator = ctranslate2.Translator(
            str(folder / "engines" / "ct2-int8"), device="cpu", inter_threads=workers, intra_threads=1
        )

    def __call__(self, texts: Sequence[str], *, max_batch_tokens: int = 0) -> list[str]:
        """Translate a batch; with ``max_batch_tokens`` it is sorted by length and cut into smaller ones first."""
        results = self._translator.translate_batch(
            [[*self._pieces.EncodeAsPieces(self._prefix + text), END] for text in texts],
            max_batch_size=max_batch_tokens,
            batch_type="tokens" if max_batch_tokens else "examples",
            beam_size=self._decoding.num_beams,
            length_penalty=self._decoding.length_penalty,
            max_decoding_length=self._decoding.max_new_tokens,
        )
        return [self._pieces.DecodePieces(result.hypotheses[0]) for result in results]
