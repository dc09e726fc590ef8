"""The sentences of a text, and the text made of their translations, with everything between them unchanged.

A sentence is a span of the text without white space at its ends. Between two spans is only white space, which is never
translated, so a document of translated sentences has the lines, blank lines, tabs and indents of its source.
"""

import itertools
import logging
import re
from collections.abc import Iterator, Sequence

from sentencex import get_sentence_boundaries

log = logging.getLogger(__name__)

Span = tuple[int, int]
"""The start and end of a sentence in its text, in characters."""

# Breaks that no translation may move: no line goes on in the next one, and no cell of a table in its neighbour.
LINE = re.compile(r"[^\n\r\t\v\f\x1c-\x1e\x85\u2028\u2029]+")
# sentencex panics on white space of several bytes after an initial; a space at the same place has the same meaning.
ODD_SPACE = re.compile(r"[^\S ]")
# Characters given to sentencex at once, whose time grows with the square of a line's unclosed quotation marks. Half of
# them are far more than any sentence has that a model takes whole.
WINDOW = 8_192
CLAUSE_END = re.compile(r"[;:,](?=\s)|[，、；：]")


def sentence_spans(text: str, language: str) -> list[Span]:
    """Return the sentences of a text, in order; ``language`` is an ISO 639-1 code, an unknown one has general rules.

    A line break or a tab always ends a sentence. Characters in no span are white space.
    """
    return [span for line in LINE.finditer(text) for span in _line_spans(text, line.start(), line.end(), language)]


def halves(text: str, span: Span) -> tuple[Span, Span]:
    """Cut a span of two characters or more in two of about equal length, where a reader would pause.

    The cut is behind a comma, semicolon or colon in the middle half, or else at the space nearest to the middle, or,
    where there is none, between two characters.
    """
    start, end = span
    middle, quarter = (start + end) // 2, (end - start) // 4
    cuts = [mark.end() for mark in CLAUSE_END.finditer(text, middle - quarter, middle + quarter)]
    cuts = cuts or [place for place in (text.rfind(" ", start, middle), text.find(" ", middle, end)) if place >= 0]
    cut = min(cuts or [middle], key=lambda place: abs(place - middle))
    return _trimmed(text, start, cut), _trimmed(text, cut, end)


def join(text: str, spans: Sequence[Span], translations: Sequence[str]) -> str:
    """Return the text with each span replaced by its translation, and all else as it is."""
    parts, last = [], 0
    for (start, end), translation in zip(spans, translations, strict=True):
        parts += [text[last:start], translation]
        last = end
    return "".join([*parts, text[last:]])


def _line_spans(text: str, start: int, end: int, language: str) -> list[Span]:
    spans: list[Span] = []
    ends = [start + sentence_end for sentence_end in _sentence_ends(text[start:end], language)]
    for first, last in itertools.pairwise([start, *ends]):
        span = _trimmed(text, first, last)
        if span[0] >= span[1]:
            continue
        if spans and not any(map(str.isalnum, text[slice(*span)])):
            # Dots or a quotation mark that stand apart say nothing alone: they end the sentence before them.
            spans[-1] = (spans[-1][0], span[1])
        else:
            spans.append(span)
    return spans


def _sentence_ends(line: str, language: str) -> Iterator[int]:
    """Yield the end of each sentence of a line, white space behind it included; the last end is the line's."""
    plain = ODD_SPACE.sub(" ", line)
    start = 0
    while start < len(line):
        window = plain[start : start + WINDOW]
        ends = _boundaries(window, language)
        if start + WINDOW < len(line):
            # Only the ends before the last stay whatever follows. Where these are next to none, the cut is at a space.
            settled = ends[:-1]
            last = settled[-1] if settled else 0
            ends = settled if last >= WINDOW // 2 else [*settled, window.rfind(" ", last) + 1 or WINDOW]
        yield from (start + end for end in ends)
        start += ends[-1]


def _boundaries(line: str, language: str) -> list[int]:
    try:
        ends = {boundary["end_index"] for boundary in get_sentence_boundaries(language, line)}
    except BaseException as error:
        # A panic in Rust becomes a BaseException, and would end the thread of a server.
        if type(error).__name__ != "PanicException":
            raise
        log.warning("sentencex failed on a line of %d characters, which stays one sentence: %s", len(line), error)
        ends = set()
    # Whatever sentencex answers, the sentences follow each other and make up the line.
    return sorted(end for end in {*ends, len(line)} if 0 < end <= len(line))


def _trimmed(text: str, start: int, end: int) -> Span:
    part = text[start:end]
    return end - len(part.lstrip()), start + len(part.rstrip())
