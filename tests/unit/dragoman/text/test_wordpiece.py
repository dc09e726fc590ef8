import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from dragoman.errors import BundleError
from dragoman.text.wordpiece import WordPiece

TEXTS = ["The man sees the red car.", "Größe: 3,50 €\n\u0000 東京", "", " \t", "a" * 300, "UNBELIEVABLE tickets!"]


@pytest.fixture(scope="module")
def model_dir(tiny_classifier: Path) -> Path:
    return tiny_classifier / "model"


def test_ids_are_those_of_transformers_without_its_special_tokens(model_dir: Path) -> None:
    ours, theirs = WordPiece(model_dir / "tokenizer.json"), AutoTokenizer.from_pretrained(model_dir)
    for text in TEXTS:
        assert ours.encode(text) == theirs(text, add_special_tokens=False)["input_ids"]
    assert (ours.cls_id, ours.sep_id, ours.pad_id) == (theirs.cls_token_id, theirs.sep_token_id, theirs.pad_token_id)
    assert ours.size == len(theirs)


def test_special_tokens_that_stand_in_a_text_are_text(model_dir: Path) -> None:
    tokenizer = WordPiece(model_dir / "tokenizer.json")
    ids = tokenizer.encode("the [SEP] car [CLS][PAD]")
    assert not {tokenizer.cls_id, tokenizer.sep_id, tokenizer.pad_id} & set(ids)
    assert len(ids) > 4


def test_truncation_and_padding_that_the_file_asks_for_are_not_done(model_dir: Path, tmp_path: Path) -> None:
    plain = Tokenizer.from_file(str(model_dir / "tokenizer.json"))
    plain.enable_truncation(8)
    plain.enable_padding(length=32)
    plain.save(str(tmp_path / "tokenizer.json"))
    text = "the man sees the red car " * 20
    assert WordPiece(tmp_path / "tokenizer.json").encode(text) == WordPiece(model_dir / "tokenizer.json").encode(text)


def test_a_file_that_is_none_is_refused_by_its_name(model_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"cannot load the tokenizer .*missing.json"):
        WordPiece(tmp_path / "missing.json")
    (tmp_path / "damaged.json").write_text('{"version": "1.0"}')
    with pytest.raises(BundleError, match=r"cannot load the tokenizer .*damaged.json"):
        WordPiece(tmp_path / "damaged.json")
    text = (model_dir / "tokenizer.json").read_text(encoding="utf-8")
    (tmp_path / "other.json").write_text(text.replace("[CLS]", "<s>"), encoding="utf-8")
    with pytest.raises(BundleError, match=r"other.json has no \[CLS\], which the input of a BERT needs"):
        WordPiece(tmp_path / "other.json")


def test_a_vocabulary_with_gaps_is_as_large_as_its_highest_id_asks_for(model_dir: Path, tmp_path: Path) -> None:
    edit_vocabulary(model_dir, tmp_path, {"the": 10_000})
    tokenizer = WordPiece(tmp_path / "tokenizer.json")
    assert tokenizer.size == 10_001
    assert max(tokenizer.encode("the car")) == 10_000


def test_a_vocabulary_without_a_token_for_what_is_unknown_is_refused(model_dir: Path, tmp_path: Path) -> None:
    edit_vocabulary(model_dir, tmp_path, {"[UNK]": None})
    with pytest.raises(BundleError, match=r"tokenizer.json has no \[UNK\], which the input of a BERT needs"):
        WordPiece(tmp_path / "tokenizer.json")


def edit_vocabulary(model_dir: Path, folder: Path, changes: Mapping[str, int | None]) -> None:
    """Write a tokenizer with other ids for some tokens, and without those whose id is None."""
    content = json.loads((model_dir / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"] | changes
    content["model"]["vocab"] = {token: place for token, place in vocabulary.items() if place is not None}
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] not in changes]
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
