"""Held-out sentence pairs on disk, and the labels that name them: what a model is scored on, and later judged on again.

JSON lines, ``{"source": "…", "reference": "…"}``: unlike a table, they keep every character, so that the digest holds.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from dragoman import atomic
from dragoman.errors import DataError

Pair = tuple[str, str]
LABEL_DIGEST_LENGTH = 8


def pairs_digest(pairs: Sequence[Pair]) -> bytes:
    """The sha256 over every pair, in order; moving one character between two cells changes it."""
    digest = hashlib.sha256()
    for pair in pairs:
        for text in pair:
            encoded = text.encode("utf-8")
            digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.digest()


def split_label(corpus: str, split: str, pairs: Sequence[Pair]) -> str:
    """What a score's test set is called: ``phrasebook/test@1a2b3c4d``, so that only equal sets have equal names."""
    return f"{corpus}/{split}@{pairs_digest(pairs).hex()[:LABEL_DIGEST_LENGTH]}"


def write_segments(path: Path, pairs: Sequence[Pair]) -> None:
    """Write (source, reference) pairs, whole or not at all."""
    lines = (
        json.dumps({"source": source, "reference": reference}, ensure_ascii=False) + "\n" for source, reference in pairs
    )
    atomic.write_text(path, "".join(lines))


def read_segments(path: Path) -> list[Pair]:
    """The pairs of a file; raises DataError naming the line that is not one."""
    try:
        # Split at line feeds alone: a text may hold U+2028 and its like.
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}; give a file of segments that training wrote") from error
    pairs: list[Pair] = []
    for number, line in enumerate(lines[:-1] if lines[-1] == "" else lines, start=1):
        try:
            row = json.loads(line)
            source, reference = row["source"], row["reference"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f'{path}:{number} is not {{"source": …, "reference": …}}; write the file again') from error
        if not isinstance(source, str) or not isinstance(reference, str):
            raise DataError(f"{path}:{number} holds something else than text; write the file again")
        pairs.append((source, reference))
    return pairs
