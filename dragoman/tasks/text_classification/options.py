"""The manifest of a text classifier: its labels, its windows, its temperature, and its limits."""

from dataclasses import dataclass
from typing import Annotated

from dragoman.strict import Setting
from dragoman.tasks import base
from dragoman.tasks.classification import problem_of_labels
from dragoman.tasks.text_classification.windows import SPECIAL_TOKENS


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a text classifier; ``labels`` are in the order of the model's outputs."""

    labels: tuple[str, ...]
    window_tokens: Annotated[int, Setting("tokens of a window, its two special tokens included", minimum=3)]
    overlap_tokens: Annotated[int, Setting("tokens that a window shares with the one before it", minimum=0)]
    temperature: Annotated[float, Setting("what logits are divided by before the softmax", minimum=0.01)] = 1.0

    def problem(self) -> str | None:
        """Describe what does not go together among the options, None where all does."""
        problem = problem_of_labels(self.labels)
        if problem is None and self.overlap_tokens >= self.window_tokens - SPECIAL_TOKENS:
            problem = (
                f"overlap_tokens must be less than window_tokens without its {SPECIAL_TOKENS} special tokens, "
                f"got {self.overlap_tokens} and {self.window_tokens}"
            )
        return problem


@dataclass(frozen=True, kw_only=True)
class Limits(base.Limits):
    """The limits of a server; sizes in bytes and Unicode characters.

    ``max_characters`` holds for all texts of a request together, one of which may be an article of that size.
    ``max_body_bytes`` leaves room for the longest text with every character escaped, in 12 bytes at most.
    """

    max_body_bytes: Annotated[int, Setting("bytes of a request's body", minimum=1)] = 1_966_080
    max_items: Annotated[int, Setting("texts of a request", minimum=1)] = 128
    max_characters: Annotated[int, Setting("characters of a request's texts together", minimum=1)] = 150_000
