"""Text to token ids and back, the same in training and in every server.

SentencePiece itself rather than a conversion of it: it is nine times faster than the ``tokenizers`` library on short
sentences, and control symbols written in a text (``</s>``, ``<pad>``) stay plain text instead of becoming tokens.
The ids are T5's: 0 pads, 1 ends a sequence, 2 is unknown.
"""

from collections.abc import Sequence
from pathlib import Path

from sentencepiece import SentencePieceProcessor

from dragoman.errors import BundleError

PAD_ID = 0
EOS_ID = 1
UNK_ID = 2


class Tokenizer:
    """A SentencePiece model; safe to share between threads."""

    def __init__(self, model_file: str | Path) -> None:
        """Load ``spiece.model``; raises BundleError when it is missing or not a SentencePiece model with T5's ids."""
        self._processor = SentencePieceProcessor()
        try:
            self._processor.Load(str(model_file))
        except (OSError, RuntimeError) as error:
            raise BundleError(f"cannot load the SentencePiece model {model_file}: {error}") from error
        ids = (self._processor.pad_id(), self._processor.eos_id(), self._processor.unk_id())
        if ids != (PAD_ID, EOS_ID, UNK_ID):
            raise BundleError(f"{model_file} has pad, end and unknown ids {ids}; a T5 has {(PAD_ID, EOS_ID, UNK_ID)}")

    @property
    def size(self) -> int:
        """Return the number of pieces; a model may have more rows, which are never text."""
        return int(self._processor.GetPieceSize())

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without an end-of-sequence id."""
        ids: list[int] = self._processor.EncodeAsIds(text)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids; ids beyond the vocabulary (T5's sentinels) are left out."""
        text: str = self._processor.DecodeIds([int(token) for token in ids if token < self.size])
        return text

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Return the surface form of each id, which some engines take instead of the ids."""
        return [self._processor.IdToPiece(int(token)) for token in ids]

    def piece_ids(self, pieces: Sequence[str]) -> list[int]:
        """Return the id of each piece."""
        return [self._processor.PieceToId(piece) for piece in pieces]
