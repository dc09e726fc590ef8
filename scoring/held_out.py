"""Held-out items on disk, and the labels that name them; a model is scored on them, and later judged on them again.

One form for every task: Parquet with the columns ``id``, ``input`` (text or bytes) and ``reference`` (JSON).
"""

import hashlib
import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# In a run's directory and among its artifacts, a set is ``FOLDER/<set>.parquet``.
FOLDER, SUFFIX = "held_out", ".parquet"
LABEL_DIGEST_LENGTH = 8
COLUMNS = ("id", "input", "reference")


class HeldOutError(ValueError):
    """A held-out set that cannot be written or read."""


@dataclass(frozen=True, kw_only=True)
class HeldOutItem:
    """One input, as the task's predictor takes it, with what it should give: any JSON value."""

    id: str
    input: str | bytes
    reference: Any


def items_digest(items: Sequence[HeldOutItem]) -> bytes:
    """Return the sha256 over every input and reference, in order; moving one character between two cells changes it.

    Ids are left out: the same content is the same set, whatever its rows are called.
    """
    digest = hashlib.sha256()
    for item in items:
        kind, encoded = (b"t", item.input.encode()) if isinstance(item.input, str) else (b"b", item.input)
        for cell in (kind + encoded, _json(item.reference).encode()):
            digest.update(len(cell).to_bytes(8, "big") + cell)
    return digest.digest()


def short_digest(items: Sequence[HeldOutItem]) -> str:
    """Return the part of the digest that labels end in."""
    return items_digest(items).hex()[:LABEL_DIGEST_LENGTH]


def label(corpus: str, split: str, items: Sequence[HeldOutItem]) -> str:
    """Name a score's test set: ``corpus/test@1a2b3c4d``, so that only equal sets have equal names."""
    return f"{corpus}/{split}@{short_digest(items)}"


def write_held_out(path: Path, items: Sequence[HeldOutItem]) -> None:
    """Write a set, whole or not at all; the same items give the same bytes."""
    import pyarrow
    from pyarrow import parquet

    kinds = {type(item.input) for item in items}
    if len(kinds) > 1:
        raise HeldOutError(f"cannot write {path}: inputs must all be text or all be bytes, not some of each")
    table = pyarrow.table(
        {
            "id": pyarrow.array([item.id for item in items], pyarrow.string()),
            "input": pyarrow.array(
                [item.input for item in items], pyarrow.binary() if bytes in kinds else pyarrow.string()
            ),
            "reference": pyarrow.array([_json(item.reference) for item in items], pyarrow.string()),
        }
    )
    buffer = pyarrow.BufferOutputStream()
    parquet.write_table(table, buffer, compression="zstd")
    _replace(path, buffer.getvalue().to_pybytes())


def read_held_out(path: Path) -> list[HeldOutItem]:
    """Read the items of a set; raises HeldOutError saying what is wrong with the file."""
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(path).read()
    except (OSError, pyarrow.ArrowException) as error:
        raise HeldOutError(f"cannot read {path}: {error}; give a held-out set that training wrote") from error
    # Some programs write the same with wider offsets, as large_string.
    found = {field.name: str(field.type).removeprefix("large_") for field in table.schema}
    accepted = ({"id": "string", "input": kind, "reference": "string"} for kind in ("string", "binary"))
    if found not in accepted:
        columns = ", ".join(f"{name} ({kind})" for name, kind in found.items())
        raise HeldOutError(
            f"{path} has the columns {columns or 'none'}; a held-out set has id (string), input (string or binary) "
            "and reference (string, holding JSON)"
        )
    rows = zip(*(table.column(name).to_pylist() for name in COLUMNS), strict=True)
    return [_item(path, number, *cells) for number, cells in enumerate(rows, start=1)]


def _item(path: Path, number: int, name: str | None, value: str | bytes | None, reference: str | None) -> HeldOutItem:
    try:
        if name is None or value is None or reference is None:
            raise ValueError("a cell is empty")
        return HeldOutItem(id=name, input=value, reference=json.loads(reference))
    except ValueError as error:
        raise HeldOutError(f"row {number} of {path} is no held-out item: {error}; write the file again") from error


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
