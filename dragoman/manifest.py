"""What a bundle says about itself: the schema of ``manifest.json``."""

import dataclasses
import hashlib
import json
import math
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from dragoman.atomic import to_json
from dragoman.engines.seq2seq import Decoding as Decoding
from dragoman.errors import BundleError

SCHEMA = 2
VERSION_LENGTH = 12
# The strictest of the places a name goes to: Bento tag, TorchServe and MLflow model name, file name.
NAME_PATTERN = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class Languages:
    """The pair a model translates, as ISO 639-1 codes."""

    source: str = "en"
    target: str = "de"


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """What the core does to a text before the tokenizer; never part of a request."""

    prefix: str = ""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a server accepts; sizes in bytes, Unicode characters and tokens.

    ``max_characters`` are those of one text, a document. ``max_source_tokens`` are what the model reads at once: a
    sentence of more is translated in parts. ``max_body_bytes`` leaves room for the longest text with every character
    escaped, in 12 bytes at most, and bounds what a list of texts holds together.
    """

    max_body_bytes: int = 2_621_440
    max_items: int = 128
    max_characters: int = 200_000
    max_source_tokens: int = 512
    max_new_tokens: int = 256
    max_beams: int = 8


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where the weights come from; ``study`` is the trial that found their settings, ``STUDY/trial-7``."""

    mlflow_run_id: str | None = None
    git_commit: str | None = None
    config_digest: str
    corpus_fingerprint: str
    base_model: str | None = None
    study: str | None = None


@dataclass(frozen=True, kw_only=True)
class Score:
    """One figure of quality, with all that is needed to compare it; low and high bound its 95 % bootstrap interval."""

    metric: str
    value: float
    signature: str
    test_set: str
    segments: int
    low: float
    high: float
    engine: str


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """One file of the bundle, by its path inside it with forward slashes."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything a bundle says about its model; ``digest`` covers all the rest and ``version`` is its beginning."""

    schema: int = SCHEMA
    name: str
    task: str
    languages: Languages
    preprocessing: Preprocessing
    decoding: Decoding
    limits: Limits
    provenance: Provenance
    scores: tuple[Score, ...]
    engines: tuple[str, ...]
    files: tuple[FileEntry, ...]
    version: str = ""
    digest: str = ""

    def sealed(self) -> Self:
        """The same manifest with its digest and version computed from its content."""
        content = dataclasses.asdict(self)
        del content["version"], content["digest"]
        digest = hashlib.sha256(to_json(content).encode("utf-8")).hexdigest()
        return dataclasses.replace(self, version=digest[:VERSION_LENGTH], digest=digest)

    def to_json(self) -> str:
        """The canonical text of ``manifest.json``."""
        return to_json(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str, *, origin: str) -> Self:
        """Parse ``manifest.json``; raises BundleError naming ``origin`` and the key at fault."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BundleError(
                f"{origin} is not JSON ({error}); the bundle is damaged, fetch or build it again"
            ) from error
        if isinstance(value, dict) and value.get("schema") != SCHEMA:
            raise BundleError(f"{origin} has schema {value.get('schema')!r}; this version of dragoman reads {SCHEMA}")
        try:
            return typing.cast(Self, _parse(value, cls, "manifest"))
        except _SchemaMismatchError as error:
            raise BundleError(f"{origin}: {error}; the bundle is damaged, fetch it again") from error


class _SchemaMismatchError(Exception):
    """A JSON value does not have the shape its type asks for."""


def _parse(value: Any, kind: Any, where: str) -> Any:
    """Turn a JSON value into the annotated type ``kind``, strictly."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _parse_dataclass(value, kind, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise _SchemaMismatchError(f"{where} must be a list, got {value!r}")
        return tuple(_parse(item, arguments[0], f"{where}[{index}]") for index, item in enumerate(value))
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _parse(value, arguments[0], where)
    if kind is float and type(value) is int:
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise _SchemaMismatchError(f"{where} must be a finite number, got {value}")
    if type(value) is not kind:
        raise _SchemaMismatchError(f"{where} must be of type {kind.__name__}, got {value!r}")
    return value


def _parse_dataclass(value: Any, kind: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise _SchemaMismatchError(f"{where} must be an object, got {value!r}")
    hints = typing.get_type_hints(kind)
    if set(value) != set(hints):
        missing, unknown = sorted(set(hints) - set(value)), sorted(set(value) - set(hints))
        raise _SchemaMismatchError(f"{where} lacks {missing} and has the unknown {unknown}")
    return kind(**{key: _parse(value[key], hint, f"{where}.{key}") for key, hint in hints.items()})
