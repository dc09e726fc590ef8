"""Text to the ids of a BERT, by its ``tokenizer.json``: the same in training and in every server.

The file says how text is normalised and cut. What it may say of truncation and padding is switched off, and special
tokens written in a text (``[SEP]``) stay plain text.
"""

from pathlib import Path

from tokenizers import Tokenizer

from dragoman.errors import BundleError


class WordPiece:
    """The tokenizer of a BERT; safe to share between threads.

    ``cls_id`` begins a sequence, ``sep_id`` ends it, and ``pad_id`` fills a row behind it.
    """

    def __init__(self, tokenizer_file: str | Path) -> None:
        """Load ``tokenizer.json``; raises BundleError when it is missing, damaged, or lacks a special token."""
        self._file = tokenizer_file
        try:
            self._tokenizer = Tokenizer.from_file(str(tokenizer_file))
        except Exception as error:
            # The library has no class of errors of its own.
            raise BundleError(f"cannot load the tokenizer {tokenizer_file}: {error}") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True
        self.cls_id, self.sep_id, self.pad_id = map(self._special_id, ("[CLS]", "[SEP]", "[PAD]"))
        unknown = getattr(self._tokenizer.model, "unk_token", None)
        if unknown is not None:
            # Without it, a text with any other character would fail when it is encoded.
            self._special_id(unknown)
        # The ids may have gaps.
        self._size = max(self._tokenizer.get_vocab().values()) + 1

    def _special_id(self, token: str) -> int:
        found = self._tokenizer.token_to_id(token)
        if found is None:
            raise BundleError(f"{self._file} has no {token}, which the input of a BERT needs")
        return found

    @property
    def size(self) -> int:
        """Return the number of rows that the ids ask for; a model may have more, which are never text."""
        return self._size

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without any special token."""
        # The library's faster way leaves the places in the text out, which nobody asks for.
        (encoding,) = self._tokenizer.encode_batch_fast([text], add_special_tokens=False)
        ids: list[int] = encoding.ids
        return ids
