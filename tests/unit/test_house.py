"""The house style, in figures."""

from tests.house import complaints, count, read_modules

MODULE = '''"""Whether a module counts."""

# Two comments, of which one is for a tool.
value: int = "1"  # type: ignore[assignment]


def found() -> int:
    """Return a value."""
    return value
'''


def test_comments_docstrings_and_folders_keep_their_bounds() -> None:
    assert complaints(read_modules()) == []


def test_directives_are_no_comments_and_question_words_are_clauses() -> None:
    found = count("a.py", MODULE)

    assert (found.lines, found.code, found.comments, found.docstrings, found.clauses) == (9, 6, 1, 2, 1)
    assert len(complaints([found])) > 5
