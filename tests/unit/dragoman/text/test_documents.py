import time

import pytest
import sentencex
from hypothesis import example, given
from hypothesis import strategies as st

from dragoman.text import documents
from dragoman.text.documents import WINDOW, halves, join, sentence_spans

# What splitters stumble over, beside any text at all.
FRAGMENTS = [
    "Mr. ",
    "e.g. ",
    "p. 3",
    "J.\xa0R. ",
    "...",
    "?!",
    '"',
    "“",
    "«",
    "(",
    ")",
    "[",
    " ",
    "\n",
    "\r\n",
    "\t",
    "\u2028",
    "。",
]
TEXTS = st.one_of(st.text(), st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=8))).map("".join))


def sentences(text: str, language: str = "en") -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text, language)]


def check_spans(text: str, spans: list[documents.Span]) -> None:
    last = 0
    for start, end in spans:
        assert last <= start < end <= len(text)
        assert text[start:end] == text[start:end].strip()
        assert not text[last:start].strip()
        last = end
    assert not text[last:].strip()
    assert join(text, spans, [text[start:end] for start, end in spans]) == text


@given(TEXTS, st.sampled_from(["en", "de", "ja", "no such language", ""]))
@example("J\xa0. The end.", "en")
@example("one\x85two\u2028three\x1cfour", "en")
def test_the_sentences_and_the_white_space_between_them_are_the_text(text: str, language: str) -> None:
    check_spans(text, sentence_spans(text, language))


@given(st.text(min_size=1, max_size=60).map(str.strip).filter(lambda text: len(text) > 1))
def test_the_halves_of_a_sentence_and_the_white_space_between_them_are_the_sentence(text: str) -> None:
    check_spans(text, list(halves(text, (0, len(text)))))


@pytest.mark.parametrize(("text", "expected"), [
    ("Where is it? It is here.  Good!", ["Where is it?", "It is here.", "Good!"]),
    ("Mr. Smith met Mrs. Brown at 5 p.m. They had tea.", ["Mr. Smith met Mrs. Brown at 5 p.m.", "They had tea."]),
    ("It costs 3.50, i.e. little. See p. 7.", ["It costs 3.50, i.e. little.", "See p. 7."]),
    ("one line\nanother line\r\n\r\n\tand a last one", ["one line", "another line", "and a last one"]),
    ("1.\tTea\t3.50", ["1.", "Tea", "3.50"]),
    ('"He came," she said. "And went." . . .', ['"He came," she said.', '"And went." . . .']),
    ("*** . !", ["*** . !"]),
    (" \xa0 A text between spaces. \u3000", ["A text between spaces."]),
    ("\n \t\r\n", []),
    ("", []),
])  # fmt: skip
def test_sentences_end_where_a_reader_would_say_so(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_the_language_decides_about_abbreviations() -> None:
    text = "Am 3. Mai kam Dr. Müller, z. B. mit dem Zug. Er blieb bis 5. Juni."
    assert sentences(text, "de") == ["Am 3. Mai kam Dr. Müller, z. B. mit dem Zug.", "Er blieb bis 5. Juni."]


def test_a_long_line_has_the_sentences_that_its_parts_have() -> None:
    parts = [
        f"The sentence with the number {number} is about {'many ' * (number % 7)}things." for number in range(1500)
    ]
    line = " ".join(parts)
    assert len(line) > 5 * WINDOW
    assert sentences(line) == parts


@pytest.mark.parametrize("text", ["a", "(", '"', "a. ", "“a. ", "(a. ", "Mr. ", "a\n", "é\xa0", "。", "a.b "])
def test_two_hundred_thousand_characters_of_anything_are_split_in_no_time(text: str) -> None:
    long = (text * 200_000)[:200_000]
    # Processor time, because other processes may have the processor meanwhile.
    started = time.process_time()
    spans = sentence_spans(long, "en")
    elapsed = time.process_time() - started
    check_spans(long, spans)
    assert elapsed < 1.5


def test_white_space_longer_than_any_sentence_belongs_to_none() -> None:
    text = f"One.{' ' * 3 * WINDOW}Two.{' ' * 2 * WINDOW}"
    assert sentences(text) == ["One.", "Two."]
    check_spans(text, sentence_spans(text, "en"))


def test_an_endless_sentence_is_cut_at_spaces_now_and_then() -> None:
    words = "word " * 10_000
    pieces = sentences(words)
    assert len(pieces) == pytest.approx(len(words) / WINDOW, abs=1)
    assert set(" ".join(pieces).split()) == {"word"}


def test_a_panic_of_the_splitter_leaves_the_line_whole(monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    def fragile(language: str, line: str) -> list[dict[str, int]]:
        # White space of two bytes after an initial, which never comes this far otherwise.
        found: list[dict[str, int]] = sentencex.get_sentence_boundaries(language, f"{line} J\xa0.")
        return found

    monkeypatch.setattr(documents, "get_sentence_boundaries", fragile)
    assert sentences("It rains. It pours.\nThe end.") == ["It rains. It pours.", "The end."]
    assert "sentencex failed" in caplog.text


@pytest.mark.parametrize(("text", "expected"), [
    ("one two three four", ("one two", "three four")),
    ("one, two three four five six, seven", ("one, two three four", "five six, seven")),
    ("one two three; four five six", ("one two three;", "four five six")),
    ("a verylongwordindeed", ("a", "verylongwordindeed")),
    ("there are 3,000,000 of them", ("there are", "3,000,000 of them")),
    ("これは長い文、とても長い文", ("これは長い文、", "とても長い文")),
    ("abcdef", ("abc", "def")),
])  # fmt: skip
def test_a_sentence_is_halved_where_a_reader_would_pause(text: str, expected: tuple[str, str]) -> None:
    (first, second) = halves(text, (0, len(text)))
    assert (text[slice(*first)], text[slice(*second)]) == expected
