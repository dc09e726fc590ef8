"""Windows over a long text: nothing of it is cut, and nothing counts twice.

::

    content    0 1 2 3 4 5 6 7 8 9          window_tokens 6, so 4 of content; overlap_tokens 1, so a stride of 3
    windows    [0 1 2 3]
                     [3 4 5 6]
                           [6 7 8 9]
    new tokens 4       3      3             the weights of their probabilities
"""

from collections.abc import Sequence
from typing import NamedTuple

# [CLS] before the content of a window, [SEP] behind it.
SPECIAL_TOKENS = 2


class Window(NamedTuple):
    """A part of a text as the model reads it: its ids, and the number of tokens that no window before it has."""

    ids: tuple[int, ...]
    new_tokens: int


def cut_windows(
    content: Sequence[int], *, cls_id: int, sep_id: int, window_tokens: int, overlap_tokens: int
) -> list[Window]:
    """Cut the ids of a text into overlapping windows, each wrapped in its special tokens; one if all fits in.

    A text without any token is one window of special tokens alone, with a weight of 1.
    """
    length = window_tokens - SPECIAL_TOKENS
    stride = length - overlap_tokens
    windows: list[Window] = []
    seen = 0
    for start in range(0, max(1, len(content) - overlap_tokens), stride):
        part = content[start : start + length]
        windows.append(Window((cls_id, *part, sep_id), max(1, start + len(part) - seen)))
        seen = start + len(part)
    return windows
