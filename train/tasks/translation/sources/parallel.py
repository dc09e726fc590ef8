"""Any two text files whose lines correspond."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from dragoman.errors import ConfigError
from dragoman.strict import Setting
from dragoman.tasks.translation.options import Languages
from train.data.corpus import Splits, with_held_out
from train.data.folder import find_data
from train.tasks.translation.pairs import Pair, read_aligned


@dataclass(frozen=True, kw_only=True)
class Parallel:
    """The files; without files for validation or test, sentences of the training files are held out."""

    kind: Literal["parallel"]
    name: Annotated[str, Setting("what the corpus is called in scores")]
    source: Annotated[str, Setting("text file of the source language, one sentence a line, plain or .gz")]
    target: Annotated[str, Setting("text file of the target language")]
    validation_source: Annotated[str | None, Setting("the same for validation; null holds out")]
    validation_target: Annotated[str | None, Setting("the same for validation")]
    test_source: Annotated[str | None, Setting("the same for the test; null holds out")]
    test_target: Annotated[str | None, Setting("the same for the test")]
    validation_size: Annotated[int, Setting("sentences held out for validation, at most a tenth", minimum=1)]
    test_size: Annotated[int, Setting("sentences held out for the test, at most a tenth", minimum=1)]
    seed: Annotated[int, Setting("seed of the hold-out", minimum=0)]

    def read(self, languages: Languages) -> Splits:
        """Read the files."""
        return with_held_out(
            self.name,
            _aligned("source", self.source, "target", self.target),
            _optional("validation", self.validation_source, self.validation_target),
            _optional("test", self.test_source, self.test_target),
            validation_size=self.validation_size,
            test_size=self.test_size,
            seed=self.seed,
        )


def _optional(split: str, source: str | None, target: str | None) -> Sequence[Pair] | None:
    if source is None and target is None:
        return None
    if source is None or target is None:
        missing = f"data.{split}_{'source' if source is None else 'target'}"
        raise ConfigError(f"{missing} is not set though its partner is; set both files or neither")
    return _aligned(f"{split}_source", source, f"{split}_target", target)


def _aligned(source_setting: str, source: str, target_setting: str, target: str) -> Sequence[Pair]:
    return read_aligned(
        find_data(source, setting=f"data.{source_setting}"), find_data(target, setting=f"data.{target_setting}")
    )
