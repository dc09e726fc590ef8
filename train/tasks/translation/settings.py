"""The settings of a training of translation, beside those of every training; the defaults live in ``configs/``."""

import importlib
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from dragoman.engines.seq2seq import Decoding
from dragoman.strict import Setting, Variants
from dragoman.tasks.translation.options import Limits
from train.config.settings import Config, TaskSettings
from train.tasks.translation.cleaning import CleaningSettings
from train.tasks.translation.model_settings import MODEL_KINDS, PretrainedModel

ENGLISH_TO_GERMAN = "translate English to German: "
DATA_KINDS: dict[str, str] = {
    "phrasebook": "english_german:Phrasebook",
    "multi30k": "english_german:Multi30k",
    "tatoeba": "english_german:Tatoeba",
    "newstest": "english_german:Newstest",
    "hub": "hub:Hub",
    "parallel": "parallel:Parallel",
    "table": "table:Table",
}
"""By ``data.kind``, the module of ``train.tasks.translation.sources`` and the class of a kind of source."""


def data_settings(kind: str) -> type:
    """Import the dataclass of a kind of source."""
    module, _, name = DATA_KINDS[kind].partition(":")
    found: type = getattr(importlib.import_module(f"train.tasks.translation.sources.{module}"), name)
    return found


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """Settings of the conversion."""

    target_vocabulary: Annotated[
        Literal["all", "corpus"],
        Setting("pieces that int8 translations may hold: all, or those of the training corpus (faster: fewer logits)"),
    ]


@dataclass(frozen=True, kw_only=True)
class TranslationSettings(TaskSettings):
    """The direction of the translation."""

    source: Annotated[str, Setting("language translated from, ISO 639-1 code")]
    target: Annotated[str, Setting("language translated to, ISO 639-1 code")]


@dataclass(frozen=True, kw_only=True)
class TranslationConfig(Config):
    """One training of translation."""

    task: TranslationSettings
    data: Annotated[Any, Variants(tuple(DATA_KINDS), data_settings)]
    model: Annotated[Any, Variants(tuple(MODEL_KINDS), MODEL_KINDS.__getitem__)]
    cleaning: CleaningSettings
    decoding: Decoding
    limits: Limits
    export: ExportSettings

    def problems(self) -> list[str]:
        """Add contradictions between decoding and limits, and between prefix and languages."""
        found = super().problems()
        for key, most in (("num_beams", "max_beams"), ("max_new_tokens", "max_new_tokens")):
            value, limit = getattr(self.decoding, key), getattr(self.limits, most)
            if value > limit:
                found.append(f"decoding.{key} must be at most limits.{most}, {limit}, got {value}")
        pair = (self.task.source, self.task.target)
        if pair != ("en", "de") and isinstance(self.model, PretrainedModel) and self.model.prefix == ENGLISH_TO_GERMAN:
            found.append(
                f"model.prefix is {ENGLISH_TO_GERMAN!r}, but the task translates from {pair[0]} to {pair[1]}: name "
                "those languages, such as model.prefix='translate German to English: ' (T5 was pretrained to translate "
                "from English only)"
            )
        return found

    def corpus_settings(self) -> tuple[object, ...]:
        """Add ``cleaning``, which decides what is left out."""
        return *super().corpus_settings(), self.cleaning
