import hashlib
import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT
from tests.toy_texts import toy_texts
from train.tasks.text_classification.bert.model import open_tokenizer
from train.tasks.text_classification.bert.vocabulary import SPECIAL, TOKENIZER, tokenizer_config, train_tokenizer

TEXTS = [text for text, _ in toy_texts()]
PRINTED = """
import hashlib
from tests.toy_texts import toy_texts
from train.tasks.text_classification.bert.vocabulary import train_tokenizer
print(hashlib.sha256(train_tokenizer([text for text, _ in toy_texts()], 150)).hexdigest())
"""


def test_two_processes_learn_the_same_bytes() -> None:
    digests = {hashlib.sha256(train_tokenizer(TEXTS, 150)).hexdigest()}
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", PRINTED]
        digests.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip())
    assert len(digests) == 1


def test_the_vocabulary_begins_with_the_special_tokens_and_keeps_its_size() -> None:
    tokenizer = open_tokenizer(train_tokenizer(TEXTS, 150))
    assert (tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id) == (0, 2, 3)
    assert tokenizer.size <= 150
    assert len(tokenizer.encode("the old saw")) < len("the old saw")


def test_case_and_accents_do_not_count_and_an_unknown_sign_is_unknown() -> None:
    tokenizer = open_tokenizer(train_tokenizer(TEXTS, 150))
    assert tokenizer.encode("The OLD Säw") == tokenizer.encode("the old saw")
    assert tokenizer.encode("字") == [SPECIAL.index("[UNK]")]


def test_special_tokens_written_in_a_text_stay_text() -> None:
    tokenizer = open_tokenizer(train_tokenizer(TEXTS, 150))
    assert tokenizer.sep_id not in tokenizer.encode("an apple [SEP] a hammer")


def test_more_signs_than_fit_leave_room_for_words() -> None:
    signs = [chr(0x4E00 + number) for number in range(2000)]
    tokenizer = open_tokenizer(train_tokenizer([" ".join(signs), *["word word"] * 9], 600))
    assert tokenizer.size <= 600
    assert len(tokenizer.encode("word")) == 1


def test_transformers_reads_the_same_ids(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    found = train_tokenizer(TEXTS, 150)
    (tmp_path / TOKENIZER).write_bytes(found)
    (tmp_path / "tokenizer_config.json").write_text(tokenizer_config(found, 24), encoding="utf-8")
    theirs, ours = AutoTokenizer.from_pretrained(tmp_path), open_tokenizer(found)
    for text in TEXTS[::40]:
        assert theirs(text)["input_ids"] == [ours.cls_id, *ours.encode(text), ours.sep_id]
