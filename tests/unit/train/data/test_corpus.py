import dataclasses
import gzip
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from dragoman.errors import ConfigError, DataError
from dragoman.tasks.translation.options import Languages
from train.config.compose import compose_config
from train.data.corpus import CleanCorpus, Example, Splits, folds, hold_out
from train.data.table import lines_of
from train.tasks.translation.pairs import oriented, read_aligned

ENGLISH_GERMAN = Languages(source="en", target="de")


def write(path: Path, *lines: str) -> Path:
    text = "".join(f"{line}\n" for line in lines)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def read(*settings: str) -> Splits:
    splits: Splits = compose_config(settings).data.read(ENGLISH_GERMAN)
    return splits


def test_lines_are_cut_at_line_feeds_alone(tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    file.write_bytes("\ufeffone\u2028still one\r\n\ntwo\x85\n".encode())
    assert lines_of(file) == ["one\u2028still one", "", "two\x85"]


def test_a_path_may_stand_for_its_gzipped_file(tmp_path: Path) -> None:
    write(tmp_path / "x.en.gz", "one", "two")
    assert lines_of(tmp_path / "x.en") == ["one", "two"]


def test_bad_utf8_is_reported_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"fine\nnot \xff fine\n")
    with pytest.raises(DataError, match=r"x line 2 is not UTF-8 \(byte 0xff at column 5\)"):
        lines_of(tmp_path / "x")


def test_files_of_different_length_are_reported_with_both_counts(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has 2 lines and .* has 3"):
        read_aligned(write(tmp_path / "a", "1", "2"), write(tmp_path / "b", "1", "2", "3"))


def test_a_missing_and_an_empty_file_are_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        lines_of(tmp_path / "none")
    with pytest.raises(DataError, match="are empty"):
        read_aligned(write(tmp_path / "a"), write(tmp_path / "b"))
    (tmp_path / "broken.gz").write_bytes(b"no gzip")
    with pytest.raises(DataError, match="cannot read"):
        lines_of(tmp_path / "broken.gz")


def test_the_fingerprint_covers_every_row_and_every_boundary() -> None:
    splits = Splits(name="x", train=[("ab", "c")], validation=[("d", "e")], tests={"test": [("f", "g")]})
    variants = [
        dataclasses.replace(splits, train=[("a", "bc")]),
        dataclasses.replace(splits, train=[("ab", "c"), ("ab", "c")]),
        dataclasses.replace(splits, validation=[("d", "x")]),
        dataclasses.replace(splits, tests={"other": [("f", "g")]}),
        dataclasses.replace(splits, tests={"test": [("f", "g"), ("h", "i")]}),
    ]
    fingerprints = [CleanCorpus.of(each).fingerprint for each in (splits, *variants)]
    assert len(set(fingerprints)) == 6
    assert fingerprints[0].startswith("sha256:")


def test_a_hold_out_shares_no_source_and_repeats_with_its_seed() -> None:
    pairs = [(f"source {number // 2}", f"target {number}") for number in range(200)]
    splits = hold_out("x", pairs, validation_size=5, test_size=7, seed=3)
    parts = [{source for source, _ in part} for _, part in splits.items()]
    assert [len(splits.validation), len(splits.tests["test"])] == [5, 7]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]
    assert len(splits.train) == 2 * (100 - 12)
    assert splits == hold_out("x", pairs, validation_size=5, test_size=7, seed=3)
    assert splits != hold_out("x", pairs, validation_size=5, test_size=7, seed=4)


def test_a_hold_out_takes_no_more_than_a_tenth() -> None:
    pairs = [(str(number), str(number)) for number in range(50)]
    splits = hold_out("x", pairs, validation_size=1000, test_size=1000, seed=0)
    assert (len(splits.train), len(splits.validation), len(splits.tests["test"])) == (40, 5, 5)
    with pytest.raises(DataError, match="too few to hold any out"):
        hold_out("x", pairs[:9], validation_size=1, test_size=1, seed=0)


def test_a_corpus_is_turned_round_but_never_into_another_language() -> None:
    pairs = [("cat", "Katze")]
    assert oriented(pairs, Languages(source="de", target="en"), ENGLISH_GERMAN, "x") == [("Katze", "cat")]
    with pytest.raises(ConfigError, match=r"holds en and de, but task\.source=en and task\.target=fr"):
        oriented(pairs, Languages(source="en", target="fr"), ENGLISH_GERMAN, "x")


def test_parallel_files_are_read_with_or_without_held_out_files(tmp_path: Path) -> None:
    numbers = [str(number) for number in range(30)]
    source, target = write(tmp_path / "a.en", *numbers), write(tmp_path / "a.de.gz", *numbers)
    settings = ["data=parallel", f"data.source={source}", f"data.target={target}"]
    assert len(read(*settings).train) == 24
    extra = write(tmp_path / "t.en", "x"), write(tmp_path / "t.de", "y")
    splits = read(*settings, f"data.test_source={extra[0]}", f"data.test_target={extra[1]}")
    assert splits.tests == {"test": [("x", "y")]}
    assert (len(splits.train), len(splits.validation)) == (27, 3)
    with pytest.raises(ConfigError, match=r"data\.test_target is not set"):
        read(*settings, f"data.test_source={extra[0]}")


def test_tables_are_read_by_their_column_names(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = [{"id": number, "english": f"e{number}", "german": f'"g{number}'} for number in range(20)]
    tsv = write(tmp_path / "x.tsv", "id\tenglish\tgerman", *(f"{r['id']}\t{r['english']}\t{r['german']}" for r in rows))
    jsonl = write(tmp_path / "x.jsonl", *(json.dumps(row) for row in rows))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "x.parquet")
    columns = ["data.source_column=english", "data.target_column=german"]
    read_splits = [
        read(f"data={kind}", f"data.path={path}", "data.name=x", *columns)
        for kind, path in (("tsv", tsv), ("jsonl", jsonl), ("parquet", tmp_path / "x.parquet"))
    ]
    assert read_splits[0] == read_splits[1] == read_splits[2]
    assert ("e3", '"g3') in [pair for _, pairs in read_splits[0].items() for pair in pairs]


def test_nested_columns_are_named_with_dots(tmp_path: Path) -> None:
    file = write(tmp_path / "x.jsonl", *(json.dumps({"translation": {"en": str(n), "de": "x"}}) for n in range(20)))
    settings = ["data=jsonl", f"data.path={file}", "data.target_column=translation.de"]
    assert len(read(*settings, "data.source_column=translation.en").train) == 16
    with pytest.raises(DataError, match=r"has no column 'translation\.fr'; it has translation\.en, translation\.de"):
        read(*settings, "data.source_column=translation.fr")


def test_a_broken_table_is_reported_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 3 has 1 columns, the header has 2"):
        read("data=tsv", f"data.path={write(tmp_path / 'a.tsv', 'en	de', 'a	b', 'c')}")
    with pytest.raises(DataError, match="line 2 is not JSON"):
        read("data=jsonl", f"data.path={write(tmp_path / 'a.jsonl', json.dumps({'en': 'x', 'de': 'y'}), '{')}")
    with pytest.raises(DataError, match="has no rows"):
        read("data=tsv", f"data.path={write(tmp_path / 'b.tsv', 'en	de')}")
    (tmp_path / "a.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="as Parquet"):
        read("data=parquet", f"data.path={tmp_path / 'a.parquet'}")
    with pytest.raises(DataError, match="must hold text, got 3"):
        read("data=jsonl", f"data.path={write(tmp_path / 'c.jsonl', json.dumps({'en': 3, 'de': 'y'}))}")


def test_tatoeba_is_split_by_its_english_side(tmp_path: Path) -> None:
    lines = [f"English {number // 2}\tDeutsch {number}\tCC-BY" for number in range(100)]
    write(tmp_path / "deu.txt.gz", *lines)
    splits = read("data=tatoeba", f"data.path={tmp_path}")
    assert (len(splits.train), len(splits.validation), len(splits.tests["test"])) == (80, 5, 5)
    assert all("CC-BY" not in target for _, target in splits.train)


def test_newstest_trains_on_old_years_and_halves_the_last(tmp_path: Path) -> None:
    for name, size in (("old", 3), ("new", 5)):
        for language in ("en", "de"):
            write(tmp_path / f"{name}.{language}", *(f"{name} {language} {number}" for number in range(size)))
    splits = read("data=newstest", f"data.path={tmp_path}", "data.train_sets=[old]", "data.held_out=new")
    assert [len(pairs) for _, pairs in splits.items()] == [3, 2, 3]
    assert splits.tests["new-second-half"][0] == ("new en 2", "new de 2")


def test_multi30k_keeps_its_official_splits(tmp_path: Path) -> None:
    for split in ("train", "val", "test_a"):
        write(tmp_path / f"{split}.en.gz", f"{split} en")
        write(tmp_path / f"{split}.de.gz", f"{split} de")
    splits = read("data=multi30k", f"data.path={tmp_path}", "data.tests=[test_a]")
    assert splits.train == [("train en", "train de")]
    assert list(splits.tests) == ["test_a"]
    assert splits.further_metrics == ("BLEU-lc",)


def test_the_real_sets_are_read_whole(shared_data: Path) -> None:
    expected = {"multi30k": 29_000, "tatoeba": 100_000, "newstest": 25_000}
    for name, least in expected.items():
        splits = read(f"data={name}", f"data.path={shared_data / name}")
        assert len(splits.train) >= least
        assert min(len(splits.validation), *(len(pairs) for pairs in splits.tests.values())) >= 1_000


def test_every_pair_validates_in_one_fold_and_no_source_is_on_both_sides() -> None:
    pairs = [(f"source {number // 2}", f"target {number}") for number in range(20)]
    splits = Splits(name="toy", train=pairs[:16], validation=pairs[16:], tests={"test": [("t", "t")]})
    parts = folds(splits, count=3, seed=1)
    assert sorted(source for part in parts for source, _ in part.validation) == sorted({source for source, _ in pairs})
    for part in parts:
        validated = {source for source, _ in part.validation}
        assert sorted(part.train) == sorted(pair for pair in pairs if pair[0] not in validated)
        assert part.tests == splits.tests
    assert parts == folds(splits, count=3, seed=1)
    assert parts != folds(splits, count=3, seed=2)


def test_more_folds_than_sources_are_refused() -> None:
    splits = Splits(name="toy", train=[("a", "b")], validation=[("c", "d")], tests={})
    with pytest.raises(DataError, match="2 distinct inputs, too few for 3 folds"):
        folds(splits, count=3, seed=1)


@pytest.mark.parametrize("example", [("half a pair: \ud83d", "gold"), ("text", "\ud83d"), (b"bytes", float("nan"))])
def test_an_example_that_no_file_can_hold_is_named(example: tuple[object, object]) -> None:
    splits = Splits(name="toy", train=[("a", 1), example], validation=[("b", 2)], tests={"test": [("c", 3)]})
    with pytest.raises(DataError, match=r"example 2 of the train split of toy cannot be stored \(.*; repair it"):
        CleanCorpus.of(splits)


@pytest.mark.parametrize(
    "settings",
    [
        ["data=tsv", "data.path=own/pairs.tsv", "data.source_column=en", "data.target_column=de"],
        ["data=parallel", "data.source=own/x.en", "data.target=own/x.de"],
    ],
)
def test_files_of_ones_own_are_found_in_the_data_folder_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: list[str]
) -> None:
    (tmp_path / "own").mkdir()
    pairs = [(f"sentence {number}", f"Satz {number}") for number in range(20)]
    write(tmp_path / "own" / "pairs.tsv.gz", "en\tde", *("\t".join(pair) for pair in pairs))
    write(tmp_path / "own" / "x.en.gz", *(source for source, _ in pairs))
    write(tmp_path / "own" / "x.de", *(target for _, target in pairs))
    monkeypatch.setenv("DRAGOMAN_DATA", str(tmp_path))
    splits = read(*settings)
    assert sorted([*splits.train, *splits.validation, *splits.tests["test"]]) == sorted(pairs)


def labelled(**counts: int) -> list[tuple[str, str]]:
    return [(f"{label} {number}", label) for label, count in counts.items() for number in range(count)]


def classes(examples: Sequence[Example]) -> Counter[str]:
    return Counter(label for _, label in examples)


def test_a_stratified_hold_out_gives_every_class_its_share_and_one_at_least() -> None:
    def split() -> Splits:
        examples = labelled(a=600, b=290, c=100, d=7, e=3)
        return hold_out("x", examples, validation_size=100, test_size=50, seed=0, stratified=True)

    splits = split()
    assert splits.stratified
    assert classes(splits.validation) == {"a": 59, "b": 29, "c": 10, "d": 1, "e": 1}
    assert classes(splits.tests["test"]) == {"a": 29, "b": 14, "c": 5, "d": 1, "e": 1}
    assert classes(splits.train) == {"a": 512, "b": 247, "c": 85, "d": 5, "e": 1}
    assert splits == split()


def test_a_small_stratified_hold_out_grows_for_its_classes() -> None:
    examples = labelled(**dict.fromkeys("abcde", 4))
    splits = hold_out("x", examples, validation_size=9, test_size=9, seed=0, stratified=True)
    assert [set(classes(part).values()) for _, part in splits.items()] == [{2}, {1}, {1}]


def test_an_input_of_two_classes_and_a_class_of_two_inputs_stay_in_training() -> None:
    examples = [*labelled(a=40, b=2), *((f"both {number}", label) for number in range(9) for label in "ab")]
    splits = hold_out("x", examples, validation_size=4, test_size=4, seed=0, stratified=True)
    assert (classes(splits.validation), classes(splits.tests["test"])) == ({"a": 4}, {"a": 4})
    assert classes(splits.train) == {"a": 32 + 9, "b": 2 + 9}


def test_folds_of_stratified_splits_share_out_every_class() -> None:
    splits = hold_out("x", labelled(a=90, b=30, c=9), validation_size=9, test_size=9, seed=0, stratified=True)
    parts = [classes(part.validation) for part in folds(splits, count=3, seed=0)]
    for label in "abc":
        counts = [part[label] for part in parts]
        assert max(counts) - min(counts) <= 1


def test_the_report_of_a_corpus_has_room_for_what_a_task_finds() -> None:
    splits = Splits(name="x", train=[("a", "b")], validation=[("c", "d")], tests={"test": [("e", "f")]})
    plain, told = CleanCorpus.of(splits), CleanCorpus.of(splits, details={"test": {"flaws": {"odd": 1}}})
    assert told.as_dict()["splits"]["test"]["flaws"] == {"odd": 1}  # type: ignore[index]
    assert told.fingerprint == plain.fingerprint
    assert "flaws" not in str(plain.as_dict())
