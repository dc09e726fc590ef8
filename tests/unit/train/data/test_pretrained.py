import shlex
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file

from dragoman.errors import DataError
from train.data.pretrained import files_digest, find_pretrained

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def model(folder: Path, weights: bytes = b"w") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(b'{"model_type": "t5"}')
    (folder / "weights").write_bytes(weights)
    return folder


FILES = ("config.json", "weights")


def test_a_directory_is_named_by_its_last_part_and_a_digest_of_its_files(tmp_path: Path) -> None:
    first = find_pretrained(str(model(tmp_path / "a" / "small")), None, FILES, task="translation").base_model
    assert (first.name, first.revision) == ("small", None)
    assert first.digest.startswith("sha256:")
    same = find_pretrained(str(model(tmp_path / "b" / "small")), None, FILES, task="translation").base_model
    other = find_pretrained(str(model(tmp_path / "c" / "small", b"x")), None, FILES, task="translation").base_model
    assert first == same != other


def test_a_repository_of_the_hub_is_named_with_the_commit_that_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    snapshot = model(tmp_path / "snapshots" / COMMIT)

    def download(repository: str, **options: Any) -> str:
        asked.update(options, repository=repository)
        return str(snapshot)

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    found = find_pretrained("somebody/small", "v1", FILES, task="translation")
    assert asked == {"repository": "somebody/small", "revision": "v1", "allow_patterns": list(FILES)}
    assert (found.base_model.name, found.base_model.revision) == ("somebody/small", COMMIT)
    assert found.base_model.digest == files_digest(snapshot, FILES)


def test_what_is_no_model_is_refused_with_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"lacks config\.json, weights"):
        find_pretrained(str(tmp_path / "empty"), None, FILES, task="translation")
    with pytest.raises(DataError, match="is not a directory"):
        find_pretrained(str(tmp_path / "none"), None, FILES, task="translation")
    with pytest.raises(DataError, match=r"model\.revision is for models of the hub"):
        find_pretrained(str(model(tmp_path / "small")), "main", FILES, task="translation")


def test_a_directory_without_weights_is_told_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(DataError, match=r"lacks config\.json, weights; .* has config\.json, weights, .*is README\.md"):
        find_pretrained(str(tmp_path), None, FILES, task="translation")


def test_pickled_weights_are_refused_with_the_line_that_converts_them(tmp_path: Path) -> None:
    first, second = torch.ones(2, 3), torch.zeros(4)
    torch.save({"first": first, "same": first, "second": second}, tmp_path / "pytorch_model.bin")
    with pytest.raises(DataError, match="is a pickle, which may run code and is not read: convert it") as refused:
        find_pretrained(str(tmp_path), None, ("model.safetensors",), task="translation")
    _, _, command = str(refused.value).partition("python -c ")
    exec(shlex.split(command)[0])
    found = load_file(tmp_path / "model.safetensors")
    assert found.keys() == {"first", "same", "second"}
    assert torch.equal(found["same"], first)
    assert find_pretrained(str(tmp_path), None, ("model.safetensors",), task="translation").folder == tmp_path


def test_a_model_of_another_family_is_named_with_those_that_the_task_takes(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    for text, message in (
        ('{"model_type": "bart"}', r"a model of type 'bart'; translation takes t5 \(model_type\)$"),
        ('{"model_type": "bert"}', r"takes t5 \(model_type\); it is one for task=text_classification$"),
        ("{}", "a model of type None; translation takes t5"),
        ("[]", r"cannot read .*config\.json"),
        ("{", r"cannot read .*config\.json"),
    ):
        config.write_text(text)
        with pytest.raises(DataError, match=message):
            find_pretrained(str(tmp_path), None, FILES, task="translation")
