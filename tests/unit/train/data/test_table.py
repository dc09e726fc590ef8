import gzip
from pathlib import Path
from typing import Any

import pytest

from dragoman.errors import ConfigError, DataError
from train.data.table import Format, Row, TableFile, format_of


def rows(path: Path, content: str | bytes, *, format: Format = "csv", delimiter: str | None = None) -> list[Row]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(TableFile(path=path, format=format, delimiter=delimiter).rows())


def cells(path: Path, content: str | bytes, **settings: Any) -> list[dict[str, Any]]:
    return [dict(row.cells) for row in rows(path, content, **settings)]


def test_csv_may_hold_line_breaks_delimiters_and_quotation_marks_in_quotes(tmp_path: Path) -> None:
    text = '\ufefftext, label \r\n"one,\r\n\r\n""two""",a\r\n\r\nplain,b\r\n,\r\n'
    found = rows(tmp_path / "x.csv", text)
    assert [dict(row.cells) for row in found] == [
        {"text": 'one,\n\n"two"', "label": "a"},
        {"text": "plain", "label": "b"},
    ]
    assert [row.place for row in found] == ["line 2", "line 6"]


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
def test_the_delimiter_of_csv_is_found_by_the_header(tmp_path: Path, sign: str) -> None:
    assert cells(tmp_path / "x.csv", f'text{sign}label\n"a, b; c"{sign}1\n') == [{"text": "a, b; c", "label": "1"}]


def test_blank_lines_before_the_header_and_columns_without_a_name_are_left_out(tmp_path: Path) -> None:
    found = rows(tmp_path / "x.csv", "\ntext;label;;\na, b;1;;\n")
    assert [(row.cells["text"], row.cells["label"], row.place) for row in found] == [("a, b", "1", "line 3")]


def test_a_delimiter_that_is_given_is_taken(tmp_path: Path) -> None:
    assert cells(tmp_path / "x.csv", "a,b,c^d\n1^2\n", delimiter="^") == [{"a,b,c": "1", "d": "2"}]


def test_a_cell_of_csv_may_be_of_any_length(tmp_path: Path) -> None:
    assert cells(tmp_path / "x.csv", f"text\n{'a' * 300_000}\n")[0]["text"] == "a" * 300_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\na,b\nc,d,e\n", r"x\.csv line 3 has 3 columns, the header has 2 .*in quotation marks"),
        ('text,label\n"never closed,a\nb,c\n', r"x\.csv line 2 is no CSV \(unexpected end of data\)"),
        ('text,label\na,b\n"a"b,c\n', r"x\.csv line 3 is no CSV \(',' expected after '\"'\)"),
        ("text,text\na,b\n", r"x\.csv line 1 names the column 'text' twice"),
        (
            "text,label\nna\u00efve,a\n".encode("latin-1"),
            r"x\.csv line 2 is not UTF-8 \(byte 0xef at column 3\).*iconv -f latin1",
        ),
    ],
)
def test_broken_csv_is_reported_with_its_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        rows(tmp_path / "x.csv", content)


def test_tsv_knows_no_quotation_marks(tmp_path: Path) -> None:
    assert cells(tmp_path / "x.tsv", 'text\tlabel\n"Yes\tb\n', format="tsv") == [{"text": '"Yes', "label": "b"}]


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_a_table_may_be_compressed_and_is_found_without_its_ending(tmp_path: Path, format: Format) -> None:
    import pyarrow
    import pyarrow.parquet

    plain = tmp_path / "plain"
    if format == "csv":
        plain.write_text("n\n1\n", encoding="utf-8")
    else:
        pyarrow.parquet.write_table(pyarrow.table({"n": ["1"]}), plain)
    (tmp_path / "x.gz").write_bytes(gzip.compress(plain.read_bytes()))
    for name in ("x", "x.gz"):
        assert [row.cells for row in TableFile(path=tmp_path / name, format=format).rows()] == [{"n": "1"}]


def test_the_format_shows_in_the_ending_of_the_name() -> None:
    names = ("a.csv", "a.TSV.gz", "a.jsonl", "b.c.parquet", "a.ndjson.gz")
    assert [format_of(name, setting="x") for name in names] == ["csv", "tsv", "jsonl", "parquet", "jsonl"]
    with pytest.raises(ConfigError, match=r"a\.xlsx does not show its format: .*'\.xlsx', not in \.csv.*; set data\.f"):
        format_of("a.xlsx", setting="data.format")


def test_a_missing_column_is_told_with_those_there_are(tmp_path: Path) -> None:
    (row,) = rows(tmp_path / "x.csv", f"title,{'long ' * 100},topic\na,b,c\n")
    with pytest.raises(DataError, match=r"no column 'text'; it has title, (long ){12}, topic; set data\.text"):
        TableFile(path=tmp_path / "x.csv", format="csv").cell(row, "text", settings="data.text_column")


def test_of_many_columns_a_message_names_the_beginning(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(200)]
    (row,) = rows(tmp_path / "x.csv", ",".join(names) + "\n" + ",".join(names) + "\n")
    with pytest.raises(DataError, match=r"it has c0, .*, c19 and 180 more; set data\.text_column"):
        TableFile(path=tmp_path / "x.csv", format="csv").cell(row, "text", settings="data.text_column")
