"""The manifest of a translation model: its languages, its preprocessing, its decoding, and its limits."""

from dataclasses import dataclass
from typing import Annotated

from dragoman.engines.seq2seq import Decoding
from dragoman.strict import Setting
from dragoman.tasks import base


@dataclass(frozen=True, kw_only=True)
class Languages:
    """The pair a model translates, as ISO 639-1 codes."""

    source: str = "en"
    target: str = "de"


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Changes to a text before it is tokenized; never part of a request."""

    prefix: str = ""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a translation model; a request may change ``decoding`` within the limits."""

    languages: Languages
    preprocessing: Preprocessing
    decoding: Decoding


@dataclass(frozen=True, kw_only=True)
class Limits(base.Limits):
    """The limits of a server; sizes in bytes, Unicode characters and tokens.

    ``max_characters`` holds for all texts of a request together, one of which may be a document of that size.
    ``max_source_tokens`` is the most that the model reads at once: a longer sentence is translated in parts.
    ``max_body_bytes`` leaves room for the longest text with every character escaped, in 12 bytes at most.
    """

    max_body_bytes: Annotated[int, Setting("bytes of a request's body", minimum=1)] = 2_621_440
    max_items: Annotated[int, Setting("texts of a request", minimum=1)] = 128
    max_characters: Annotated[int, Setting("characters of a request's texts together", minimum=1)] = 200_000
    max_source_tokens: Annotated[int, Setting("tokens that the model reads at once", minimum=1)] = 512
    max_new_tokens: Annotated[int, Setting("tokens of a sentence's translation", minimum=1)] = 256
    max_beams: Annotated[int, Setting("beam width", minimum=1)] = 8
