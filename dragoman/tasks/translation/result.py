"""The hypotheses of sentences, and the translation of a text that is made of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dragoman.text.documents import Span, join


@dataclass(frozen=True, kw_only=True)
class SentenceHypothesis:
    """One translation of a sentence, of ``num_tokens`` tokens with the end of sequence.

    ``score`` is the length-normalised log-probability, None unless asked for; ``finished`` is false where the token
    limit cut the sentence.
    """

    text: str
    num_tokens: int
    score: float | None
    finished: bool


@dataclass(frozen=True, kw_only=True)
class Translation:
    """One translated text; ``finish_reason`` is ``length`` when the token limit cut a sentence, ``stop`` otherwise.

    ``alternatives`` are made of the second-best hypotheses of all sentences, the third-best ones, and so on; ``scores``
    belong to the text and its alternatives, and are empty unless asked for (see ``score``).
    """

    text: str
    alternatives: tuple[str, ...]
    scores: tuple[float, ...]
    finish_reason: str


def assemble(
    text: str, spans: Sequence[Span], sentences: Sequence[Sequence[SentenceHypothesis]], *, length_penalty: float
) -> Translation:
    """Make the translation of a text from the hypotheses of the sentences at ``spans``, each with its best first."""
    ranks = list(zip(*sentences, strict=False))
    texts = [join(text, spans, [hypothesis.text for hypothesis in rank]) for rank in ranks]
    scores = [score(rank, length_penalty) for rank in ranks]
    return Translation(
        text=texts[0],
        alternatives=tuple(texts[1:]),
        scores=tuple(value for value in scores if value is not None),
        finish_reason="stop" if all(hypothesis.finished for hypothesis in ranks[0]) else "length",
    )


def score(sentences: Sequence[SentenceHypothesis], length_penalty: float) -> float | None:
    """Return the length-normalised log-probability of sentences taken as one sequence, None when they have no scores.

    A sentence's score is s = log p / n ** length_penalty, n being its tokens. So its log p is s * n ** length_penalty,
    and the whole has sum(log p) / sum(n) ** length_penalty. One sentence alone keeps its score to the bit.
    """
    if len(sentences) == 1:
        return sentences[0].score
    log_probability = 0.0
    for sentence in sentences:
        if sentence.score is None:
            return None
        log_probability += sentence.score * math.pow(sentence.num_tokens, length_penalty)
    return log_probability / math.pow(sum(sentence.num_tokens for sentence in sentences), length_penalty)
