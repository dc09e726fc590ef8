"""The settings of a training of text classification, beside those of every training."""

from dataclasses import dataclass
from typing import Annotated, Any

from dragoman.strict import Setting, Variants
from dragoman.tasks.text_classification.options import Limits
from dragoman.tasks.text_classification.windows import SPECIAL_TOKENS
from train.config.settings import Config
from train.tasks.classification.classes import ClassSettings
from train.tasks.text_classification.bert.settings import MODEL_KINDS, ScratchModel
from train.tasks.text_classification.data_kinds import DATA_KINDS, data_settings


@dataclass(frozen=True, kw_only=True)
class WindowSettings:
    """The part of a text that the model reads at once; it is trained on the first window of each."""

    tokens: Annotated[int, Setting("tokens of a window, its two special tokens included", minimum=8)]
    overlap: Annotated[int, Setting("tokens that a window shares with the one before it", minimum=0)]


@dataclass(frozen=True, kw_only=True)
class TextClassificationConfig(Config):
    """One training of text classification."""

    data: Annotated[Any, Variants(tuple(DATA_KINDS), data_settings)]
    model: Annotated[Any, Variants(tuple(MODEL_KINDS), MODEL_KINDS.__getitem__)]
    classes: ClassSettings
    windows: WindowSettings
    limits: Limits

    def problems(self) -> list[str]:
        """Add windows that never get on, and widths that heads cannot share."""
        found = super().problems()
        content = self.windows.tokens - SPECIAL_TOKENS
        if self.windows.overlap >= content:
            found.append(
                f"windows.overlap must be less than {content}, the tokens of a window without its {SPECIAL_TOKENS} "
                f"special ones, got {self.windows.overlap}"
            )
        if isinstance(self.model, ScratchModel) and self.model.d_model % self.model.num_heads:
            found.append(
                f"model.d_model must be a multiple of model.num_heads, {self.model.num_heads}, got {self.model.d_model}"
            )
        return found

    def corpus_settings(self) -> tuple[object, ...]:
        """Add the classes that there are, which decide what is left out."""
        return *super().corpus_settings(), self.classes.names, self.classes.unknown
