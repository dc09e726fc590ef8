"""Held-out items on disk, and the labels that name them; a model is scored on them, and later judged on them again.

One form for every task: Parquet with the columns ``id``, ``input`` (text or bytes) and ``reference`` (JSON).
"""

import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# In a run's directory and among its artifacts, a set is ``FOLDER/<set>.parquet``.
FOLDER, SUFFIX = "held_out", ".parquet"
LABEL_DIGEST_LENGTH = 8
COLUMNS = ("id", "input", "reference")
# Photographs are megabytes each, and a thousand of them are copied part by part: letters or bytes that are written, and
# rows that are read together.
MOST_TOGETHER, ROWS_AT_ONCE = 64 * 2**20, 64


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
    fields = {"id": "string", "input": "binary" if bytes in kinds else "string", "reference": "string"}
    schema = pyarrow.schema([(name, pyarrow.type_for_alias(kind)) for name, kind in fields.items()])
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
                for part in _parts(items):
                    rows = [{"id": item.id, "input": item.input, "reference": _json(item.reference)} for item in part]
                    writer.write_table(pyarrow.Table.from_pylist(rows, schema))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_held_out(path: Path) -> list[HeldOutItem]:
    """Read the items of a set; raises HeldOutError saying what is wrong with the file."""
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            # Some programs write the same with wider offsets, as large_string.
            found = {field.name: str(field.type).removeprefix("large_") for field in file.schema_arrow}
            _check_columns(path, found)
            # Part by part, so that there never are two copies of the whole.
            parts = (batch.to_pydict() for batch in file.iter_batches(ROWS_AT_ONCE, columns=list(COLUMNS)))
            rows = (cells for part in parts for cells in zip(*(part[name] for name in COLUMNS), strict=True))
            return [_item(path, number, *cells) for number, cells in enumerate(rows, start=1)]
    except (OSError, pyarrow.ArrowException) as error:
        raise HeldOutError(f"cannot read {path}: {error}; give a held-out set that training wrote") from error


def _check_columns(path: Path, found: Mapping[str, str]) -> None:
    accepted = [{"id": "string", "input": kind, "reference": "string"} for kind in ("string", "binary")]
    if found not in accepted:
        columns = ", ".join(f"{name} ({kind})" for name, kind in found.items())
        raise HeldOutError(
            f"{path} has the columns {columns or 'none'}; a held-out set has id (string), input (string or binary) "
            "and reference (string, holding JSON)"
        )


def _parts(items: Sequence[HeldOutItem]) -> Iterator[Sequence[HeldOutItem]]:
    """Cut a set into what is written together; texts, which are short, are seldom more than one part."""
    start = size = 0
    for number, item in enumerate(items):
        if number > start and size + len(item.input) > MOST_TOGETHER:
            yield items[start:number]
            start, size = number, 0
        size += len(item.input)
    yield items[start:]


def _item(path: Path, number: int, name: str | None, value: str | bytes | None, reference: str | None) -> HeldOutItem:
    try:
        if name is None or value is None or reference is None:
            raise ValueError("a cell is empty")
        return HeldOutItem(id=name, input=value, reference=json.loads(reference))
    except ValueError as error:
        raise HeldOutError(f"row {number} of {path} is no held-out item: {error}; write the file again") from error


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
