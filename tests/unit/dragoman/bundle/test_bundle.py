import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dragoman.atomic import to_json
from dragoman.bundle.contents import check_contents
from dragoman.bundle.manifest import FileEntry, Manifest, Score, check_name
from dragoman.bundle.model_card import model_card
from dragoman.bundle.store import open_bundle
from dragoman.errors import BundleError, ConfigError
from dragoman.task_table import find_task
from tests.conftest import ROOT
from tests.tiny_model import write_tiny_bundle


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def manifest_of(bundle: Path) -> Manifest:
    path = bundle / "manifest.json"
    return Manifest.from_json(path.read_text("utf-8"), origin=str(path))


def test_opening_gives_back_what_was_written(tiny_bundle: Path):
    manifest = open_bundle(tiny_bundle).manifest
    target = manifest.options["languages"]["target"]
    assert (manifest.name, manifest.task, target) == ("tiny-en-de", "translation", "de")
    assert manifest.version == manifest.digest[:12]
    assert Manifest.from_json(manifest.to_json(), origin="again") == manifest


def test_building_the_same_bundle_twice_gives_the_same_bytes(tiny_bundle, tmp_path, toy_sentences):
    again = write_tiny_bundle(tmp_path, toy_sentences)
    files = sorted(path.relative_to(tiny_bundle) for path in tiny_bundle.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert all((tiny_bundle / name).read_bytes() == (again / name).read_bytes() for name in files)


def test_one_changed_byte_in_any_file_is_found_and_named(copy: Path):
    for path in sorted(path for path in copy.rglob("*") if path.is_file() and path.name != "manifest.json"):
        original = path.read_bytes()
        changed = bytearray(original)
        changed[len(changed) // 2] ^= 1
        path.write_bytes(changed)
        with pytest.raises(BundleError) as caught:
            open_bundle(copy)
        assert str(path) in str(caught.value)
        assert "artifact digest mismatch" in str(caught.value)
        path.write_bytes(original)
    open_bundle(copy)


def test_a_manifest_that_was_edited_no_longer_matches_its_own_digest(copy: Path):
    path = copy / "manifest.json"
    path.write_text(path.read_text().replace('"max_items": 16', '"max_items": 17'))
    with pytest.raises(BundleError, match=r"artifact digest mismatch: .*manifest\.json expected sha256:.* got sha256:"):
        open_bundle(copy)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "must be a group of settings"),
        ('{"schema": 99}', "has schema 99"),
        ('{"schema": 3}', "name is required and not set"),
        ('{"schema": 3, "name": NaN}', "NaN is no JSON number"),
        # A bundle of an earlier version, and what to do with it.
        ('{"schema": 2, "languages": {}}', r"has schema 2, .*; export the model again from its run: python -m train"),
        # A prefix that the weights have learned is not in them.
        ('{"schema": 2}', r"train import .*model\.path=RUN_DIR/bundle/model, with .* that RUN_DIR/config\.yaml names"),
    ],
)
def test_a_broken_manifest_is_refused_with_what_is_wrong(copy: Path, text: str, message: str):
    (copy / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=message):
        open_bundle(copy)


@pytest.mark.parametrize(("old", "new"), [("11.0", "11e0"), ("11.0", "1e99"), ("11.0", "NaN"), ("toy", "\\ud800")])
def test_an_edited_number_or_text_is_refused_whatever_it_became(copy: Path, old: str, new: str):
    path = copy / "manifest.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(BundleError):
        open_bundle(copy)


def test_a_manifest_with_a_name_that_no_bundle_may_have_is_refused_however_well_sealed(copy: Path):
    manifest = dataclasses.replace(manifest_of(copy), name="../../elsewhere").sealed()
    (copy / "manifest.json").write_text(manifest.to_json())
    with pytest.raises(BundleError, match="name must be lower-case"):
        open_bundle(copy)


def test_a_manifest_nested_without_end_is_refused(copy: Path):
    path = copy / "manifest.json"
    # So deep that it can be read and not be written, from Python 3.13 on.
    depth = 600 if sys.version_info < (3, 13) else 3_000
    deep = '{"a": ' * depth + "1" + "}" * depth
    path.write_text(path.read_text().replace('"limits": {', f'"limits": {{"deep": {deep},', 1))
    with pytest.raises(BundleError, match="nested too deeply"):
        open_bundle(copy)


def test_missing_extra_and_linked_files_are_refused(copy: Path):
    extra = copy / "model" / "surprise.py"
    extra.write_text("print('never run')")
    with pytest.raises(BundleError, match="not part of the bundle"):
        open_bundle(copy)
    extra.unlink()
    weights = copy / "model" / "model.safetensors"
    elsewhere = copy.parent / "weights"
    weights.rename(elsewhere)
    with pytest.raises(BundleError, match="is missing"):
        open_bundle(copy)
    weights.symlink_to(elsewhere)
    with pytest.raises(BundleError, match="symbolic link"):
        open_bundle(copy)


def test_a_model_configuration_that_names_code_is_refused_even_when_its_digest_matches(copy: Path):
    path = copy / "model" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "auto_map": {"AutoModel": "evil.Model"}}))
    with pytest.raises(BundleError, match="auto_map"):
        check_contents(copy, manifest_of(copy))


def test_a_model_configuration_nested_without_end_is_refused(copy: Path):
    (copy / "model" / "config.json").write_text('{"a": ' * 100_000)
    with pytest.raises(BundleError, match="cannot read"):
        check_contents(copy, manifest_of(copy))


def test_pickles_are_not_on_the_list(copy: Path):
    pickle = FileEntry(path="model/pytorch_model.bin", sha256="", bytes=0)
    with pytest.raises(BundleError, match="pytorch_model"):
        check_contents(copy, dataclasses.replace(manifest_of(copy), files=(pickle,)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": {}}, "the options of tiny-en-de are wrong: languages is required"),
        (
            {"options": {"languages": {"source": "en"}, "preprocessing": {}, "decoding": {}}},
            "wrong: languages.target, preprocessing.prefix, decoding.num_beams, .* are missing",
        ),
        ({"limits": {"max_body_bytes": 1}}, "the limits of .*: max_items, max_characters, .* are missing"),
        ({"limits": {"max_itmes": 3}}, "max_itmes is not a setting; .*; did you mean max_items"),
        (
            {"task": "dance"},
            "the task 'dance' is unknown; this version knows image_classification, text_classification, translation",
        ),
    ],
)
def test_options_and_limits_are_what_the_task_says(copy: Path, change: dict[str, Any], message: str):
    with pytest.raises(BundleError, match=message):
        check_contents(copy, dataclasses.replace(manifest_of(copy), **change))


@pytest.mark.parametrize("name", ["captions.v2", "Captions", "-a", "a-", "a/b", "a b", "", "a" * 64, "a___b", "ä"])
def test_a_name_that_some_target_would_refuse_is_refused_at_once(name: str):
    with pytest.raises(ConfigError, match="name must be lower-case letters and digits"):
        check_name(name)


@pytest.mark.parametrize("name", ["../captions", "Captions", "a/b"])
def test_a_bundle_of_such_a_name_is_refused_though_its_digest_is_right(copy: Path, name: str):
    foreign = dataclasses.replace(manifest_of(copy), name=name).sealed()
    (copy / "manifest.json").write_text(foreign.to_json(), encoding="utf-8")
    with pytest.raises(BundleError, match=r"manifest\.json: name must be lower-case letters and digits"):
        open_bundle(copy)


@pytest.mark.parametrize("name", ["a", "translation-en-de", "captions_v2", "a" * 63, "2fast"])
def test_a_name_that_all_targets_take_is_taken(name: str):
    check_name(name)


def test_a_directory_that_is_no_bundle_is_told_apart(tmp_path: Path):
    with pytest.raises(BundleError, match="is not a bundle"):
        open_bundle(tmp_path)


def run(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dragoman", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, **options)


def test_verify_exits_with_78_and_names_the_file_and_both_digests(copy: Path):
    assert run("verify", str(copy)).returncode == 0
    path = copy / "model" / "spiece.model"
    path.write_bytes(path.read_bytes()[:-1])
    finished = run("verify", str(copy))
    assert finished.returncode == 78
    assert f"digest mismatch: {path} expected sha256:" in finished.stderr
    assert finished.stderr.count("\n") == 1


def test_info_prints_the_manifest_as_json(tiny_bundle: Path):
    info = json.loads(run("info", str(tiny_bundle)).stdout)
    assert info["name"] == "tiny-en-de"
    assert info["size_bytes"] > 100_000


def test_run_keeps_lines_and_empty_lines_and_says_which_line_failed(tiny_bundle: Path, tmp_path: Path):
    source, destination = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("the red car\n\nthe station\n", encoding="utf-8")
    done = run("run", "--bundle", str(tiny_bundle), "--input", str(source), "--output", str(destination))
    assert (done.returncode, done.stderr) == (0, "")
    from_stdin = run("run", "--bundle", str(tiny_bundle), input=source.read_text())
    assert from_stdin.stdout == destination.read_text("utf-8")
    lines = destination.read_text("utf-8").split("\n")
    assert len(lines) == 4
    assert [bool(line) for line in lines] == [True, False, True, False]
    spaced = run("run", "--bundle", str(tiny_bundle), input="\n \t\n  the red car\n")
    assert spaced.stdout == f"\n \t\n  {lines[0]}\n"

    failed = run("run", "--bundle", str(tiny_bundle), input="good\n" + "x" * 401 + "\ngood\n")
    assert failed.returncode == 65
    assert "line 2: q has 401 characters, the limit is 400" in failed.stderr
    assert failed.stdout.split("\n")[0] == failed.stdout.split("\n")[2] != ""


def test_run_refuses_a_missing_file_and_an_unwritable_output(tiny_bundle: Path, tmp_path: Path):
    missing = run("run", "--bundle", str(tiny_bundle), "--input", str(tmp_path / "none"))
    assert missing.returncode == 65
    assert "cannot read" in missing.stderr
    unwritable = run("run", "--bundle", str(tiny_bundle), "--output", "/proc/none/out", input="a\n")
    assert unwritable.returncode == 73


def test_run_takes_further_fields_of_a_request_and_refuses_wrong_ones_before_it_reads(tiny_bundle: Path):
    short = run("run", "--bundle", str(tiny_bundle), "--set", "max_new_tokens=1", input="the red car\n")
    whole = run("run", "--bundle", str(tiny_bundle), input="the red car\n")
    assert (short.returncode, whole.returncode) == (0, 0)
    assert len(short.stdout) < len(whole.stdout)
    wrong = run("run", "--bundle", str(tiny_bundle), "--set", "num_beams=0", input="\xff")
    assert wrong.returncode == 64
    assert "num_beams must be a whole number from 1 to 8, got 0" in wrong.stderr


def test_run_writes_utf8_whatever_the_locale(tiny_bundle: Path):
    command = [sys.executable, "-m", "dragoman", "run", "--bundle", str(tiny_bundle)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = [
        subprocess.run(command, input="Grüße\n".encode(), capture_output=True, check=True, env={**environment, **extra})
        for extra in ({"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "utf-8"})
    ]
    assert done[0].stdout == done[1].stdout
    assert done[0].stdout.decode("utf-8").strip()


BASELINE = Score(
    metric="chrF", value=3.0, signature="s", test_set="toy", items=10, low=2.0, high=4.0, engine="first sentence"
)


def test_a_manifest_without_baselines_is_written_as_before_there_were_any(copy: Path):
    text = (copy / "manifest.json").read_text("utf-8")
    assert "baselines" not in json.loads(text)
    manifest = manifest_of(copy)
    assert manifest.baselines == ()
    assert (manifest.to_json(), manifest.sealed().digest) == (text, manifest.digest)


def test_baselines_are_part_of_the_digest_and_stand_below_the_score_that_they_belong_to(copy: Path):
    manifest = manifest_of(copy)
    elsewhere = dataclasses.replace(BASELINE, test_set="other")
    compared = dataclasses.replace(manifest, baselines=(BASELINE, elsewhere)).sealed()
    assert compared.digest != manifest.digest
    assert Manifest.from_json(compared.to_json(), origin="again") == compared
    assert compared.with_baselines() == [*manifest.scores, BASELINE]
    lines = model_card(compared).splitlines()
    row = next(number for number, line in enumerate(lines) if "| ctranslate2 |" in line)
    assert lines[row + 1].startswith("| chrF | 3.00 | 2.00 to 4.00 | toy (10) | first sentence |")


def test_a_card_has_the_digits_that_its_task_asks_for(copy: Path, monkeypatch: pytest.MonkeyPatch):
    manifest = manifest_of(copy)
    task = find_task(manifest.task)
    plain = task.card(manifest)
    monkeypatch.setattr(task, "card", lambda manifest: dataclasses.replace(plain, digits=4))
    card = model_card(dataclasses.replace(manifest, baselines=(BASELINE,)))
    assert "| chrF | 3.0000 | 2.0000 to 4.0000 |" in card


def test_the_bars_of_a_signature_do_not_end_a_cell_of_the_model_card(copy: Path):
    table = [line for line in model_card(manifest_of(copy)).splitlines() if line.startswith("|")]
    assert r"`nrefs:1\|case:mixed" in table[-1]
    assert {line.replace(r"\|", "").count("|") for line in table} == {7}


def test_an_empty_list_of_baselines_is_no_manifest_of_ours(copy: Path):
    path = copy / "manifest.json"
    path.write_text(to_json({**json.loads(path.read_text("utf-8")), "baselines": []}), encoding="utf-8")
    with pytest.raises(BundleError, match="digest mismatch"):
        open_bundle(copy)
