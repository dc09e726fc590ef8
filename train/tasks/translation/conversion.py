"""The conversion of a trained T5 to CTranslate2 with int8 weights, which the CPU engine opens."""

from pathlib import Path

from ctranslate2.converters import TransformersConverter

from dragoman.engines.ct2 import VOCABULARY_MAP
from dragoman.text.tokenizer import EOS_ID, UNK_ID, Tokenizer


def convert(model_dir: Path, destination: Path, *, target_pieces: frozenset[int] | None) -> None:
    """Convert a model in Hugging Face layout to CTranslate2 with int8 weights.

    With ``target_pieces`` (ids) the engine computes the logits of these, of single characters (so that anything can be
    spelt) and of the end alone: a vocabulary map whose one entry goes with every source. Candidates that depended on
    the source, as in Marian's shortlists, would make a translation depend on what else is in its batch.
    """
    TransformersConverter(str(model_dir)).convert(str(destination), quantization="int8")
    if target_pieces is not None:
        tokenizer = Tokenizer(model_dir / "spiece.model")
        pieces = tokenizer.pieces(range(tokenizer.size))
        kept = target_pieces | {EOS_ID, UNK_ID} | {row for row, piece in enumerate(pieces) if len(piece.strip("▁")) < 2}
        line = " ".join(pieces[row] for row in sorted(kept) if row < len(pieces))
        (destination / VOCABULARY_MAP).write_text(f"\t{line}\n", encoding="utf-8")
