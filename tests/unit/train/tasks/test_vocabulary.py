from pathlib import Path

import pytest

from dragoman.errors import DataError
from train.tasks.translation.vocabulary import find_vocabulary, suggested_size, train_vocabulary, write_tokenizer_files

ODD = [
    "  two  spaces ",
    "emoji 😀 here",
    "tab\there",
    "Ｆｕｌｌ width",
    "½ and …",
    "no\u00a0break",
    "x " * 50,
    "Ünïcode",
]


def test_the_same_texts_give_the_same_bytes(toy_sentences: list[str]) -> None:
    assert train_vocabulary(toy_sentences, 100) == train_vocabulary(toy_sentences, 100)


def test_hugging_face_and_sentencepiece_give_the_same_ids(tmp_path: Path, toy_sentences: list[str]) -> None:
    from transformers import AutoTokenizer

    tokenizer = write_tokenizer_files(tmp_path, train_vocabulary(toy_sentences, 120))
    (tmp_path / "config.json").write_text('{"model_type": "t5"}', encoding="utf-8")
    fast = AutoTokenizer.from_pretrained(str(tmp_path))
    assert len(fast) == tokenizer.size
    for text in [*toy_sentences, *ODD]:
        assert fast(text).input_ids == [*tokenizer.encode(text), 1]


def test_the_ids_are_those_of_t5(tmp_path: Path, toy_sentences: list[str]) -> None:
    tokenizer = write_tokenizer_files(tmp_path, train_vocabulary(toy_sentences, 100))
    assert tokenizer.pieces([0, 1, 2]) == ["<pad>", "</s>", "<unk>"]
    assert all(tokenizer.decode(tokenizer.encode(text)) == text for text in toy_sentences)


def test_the_suggested_size_grows_with_the_word_forms_within_bounds() -> None:
    assert suggested_size(["a b c"]) == 500
    assert suggested_size(" ".join(map(str, range(40_000))) for _ in range(2)) == 8_000
    assert suggested_size([" ".join(map(str, range(1_000_000)))]) == 32_000


def test_a_vocabulary_is_found_as_a_file_or_in_a_directory(tmp_path: Path) -> None:
    (tmp_path / "spiece.model").write_bytes(b"")
    assert find_vocabulary(str(tmp_path)) == find_vocabulary(str(tmp_path / "spiece.model"))
    with pytest.raises(DataError, match=r"model\.tokenizer_path: .* does not exist"):
        find_vocabulary(str(tmp_path / "none"))
