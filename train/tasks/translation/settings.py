"""The settings of a training of translation, beside those of every training; the defaults live in ``configs/``."""

from dataclasses import dataclass
from typing import Annotated, Any

from dragoman.engines.seq2seq import Decoding
from dragoman.strict import Setting, Variants
from dragoman.tasks.translation.options import Limits
from train.config.settings import Config, TaskSettings
from train.tasks.translation.cleaning import CleaningSettings
from train.tasks.translation.conversion import ExportSettings
from train.tasks.translation.model_settings import MODEL_KINDS, PretrainedModel
from train.tasks.translation.sources import KINDS as DATA_KINDS
from train.tasks.translation.sources import settings_class

ENGLISH_TO_GERMAN = "translate English to German: "


@dataclass(frozen=True, kw_only=True)
class TranslationSettings(TaskSettings):
    """The direction."""

    source: Annotated[str, Setting("language translated from, ISO 639-1 code")]
    target: Annotated[str, Setting("language translated to, ISO 639-1 code")]


@dataclass(frozen=True, kw_only=True)
class TranslationConfig(Config):
    """One training of translation."""

    task: TranslationSettings
    data: Annotated[Any, Variants(tuple(DATA_KINDS), settings_class)]
    model: Annotated[Any, Variants(tuple(MODEL_KINDS), MODEL_KINDS.__getitem__)]
    cleaning: CleaningSettings
    decoding: Decoding
    limits: Limits
    export: ExportSettings

    def problems(self) -> list[str]:
        """Add what is wrong with decoding, limits and the prefix."""
        return [*super().problems(), *self._wrong_decoding(), *self._wrong_prefix()]

    def corpus_settings(self) -> tuple[object, ...]:
        """Add ``cleaning``, which decides what is left out."""
        return *super().corpus_settings(), self.cleaning

    def _wrong_decoding(self) -> list[str]:
        found = []
        for key, most in (("num_beams", "max_beams"), ("max_new_tokens", "max_new_tokens")):
            value, limit = getattr(self.decoding, key), getattr(self.limits, most)
            if value > limit:
                found.append(f"decoding.{key} must be at most limits.{most}, {limit}, got {value}")
        return found

    def _wrong_prefix(self) -> list[str]:
        pair = (self.task.source, self.task.target)
        if (
            not isinstance(self.model, PretrainedModel)
            or self.model.prefix != ENGLISH_TO_GERMAN
            or pair == ("en", "de")
        ):
            return []
        return [
            f"model.prefix is {ENGLISH_TO_GERMAN!r}, but the task translates from {pair[0]} to {pair[1]}: name those "
            "languages, such as model.prefix='translate German to English: ' (T5 was pretrained to translate from "
            "English only)"
        ]
