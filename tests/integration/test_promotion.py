"""The gate end to end: real bundles decoded as they are served, against a real MLflow server and against SQLite."""

import gzip
import json
import shutil
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from dragoman.errors import BundleError, ConfigError, DataError
from model_registry.command_line import main
from model_registry.versions.registry import Registry
from scoring.held_out import HeldOutItem, read_held_out, write_held_out
from tests.integration.conftest import ITEMS

# Where the kind of store makes no difference, the quick one will do.
on_sqlite = pytest.mark.parametrize("uri", ["sqlite"], indirect=True)


@pytest.fixture
def run(uri, capsys):
    """Return a function that runs a command on the store and returns its exit status and output."""

    def command(*arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments] + ["--tracking-uri", uri])
        return status, capsys.readouterr().out

    return command


def aliases(uri: str, name: str) -> dict[str, int]:
    return {alias: version.number for version in Registry.open(uri).versions(name) for alias in version.aliases}


def test_a_champion_is_only_replaced_by_what_the_gate_lets_pass_and_rollback_undoes_it(
    uri, run, make_bundle, other_bundle, gate_file
):
    good, equal, worse = make_bundle(50.0), make_bundle(60.0), make_bundle(70.0, weights=other_bundle)
    name, gate = good.manifest.name, gate_file()
    for bundle in (good, equal, worse):
        run("register", bundle.path)

    status, printed = run("promote", name, "1", "--gate", gate)
    assert status == 0
    assert printed.splitlines()[-1] == f"promoted: {name}/1 bundle {good.manifest.version}: first champion"
    with pytest.raises(ConfigError, match="no previous champion"):
        run("rollback", name)

    status, printed = run("promote", name, equal.manifest.version, "--gate", gate)
    assert status == 0
    assert f"promoted: {name}/2 bundle {equal.manifest.version}: chrF 100.00 against the champion's 100.00" in printed
    assert "decision 2 on these items" in printed
    assert aliases(uri, name) == {"candidate": 3, "champion": 2, "previous": 1}

    # Its manifest boasts of the best scores; what counts is what it does.
    status, printed = run("promote", name, "candidate", "--gate", gate)
    assert status == 1
    assert printed.splitlines()[-1].startswith(f"rejected: {name}/3 bundle {worse.manifest.version}: chrF ")
    status, printed = run("promote", name, "champion", "--gate", gate)
    assert (status, printed) == (0, f"promoted: {name}/2 bundle {equal.manifest.version}: is the champion already\n")
    assert aliases(uri, name) == {"candidate": 3, "champion": 2, "previous": 1}

    status, printed = run("rollback", name, "--reason", "customers complain")
    assert (status, printed.splitlines()[-2:]) == (
        0,
        [
            f"champion again: {name}/1 bundle {good.manifest.version}, instead of {name}/2: customers complain",
            f"previous: {name}/2 bundle {equal.manifest.version}",
        ],
    )
    # The blame is on the version that was removed.
    gates = [MlflowClient(uri, uri).get_model_version(name, number).tags["gate"] for number in ("1", "2")]
    assert gates == ["promoted: first champion", "rolled back: customers complain"]
    assert run("rollback", name)[0] == 0
    assert aliases(uri, name) == {"candidate": 3, "champion": 2, "previous": 1}

    lines = run("history", name)[1].splitlines()
    assert lines[0].split() == ["WHEN", "(UTC)", "WHO", "WHAT", "VERSION", "CHAMPION", "VERDICT", "WHY"]
    assert "customers complain" in lines[2]
    entries = json.loads(run("history", name, "--json")[1])
    found = [(entry["kind"], entry["candidate"], entry["champion"], entry["verdict"]) for entry in entries]
    assert found == [
        ("rollback", "2", "1", "champion again"),
        ("rollback", "1", "2", "champion again"),
        ("promotion", "3", "2", "rejected"),
        ("promotion", "2", "1", "promoted"),
        ("promotion", "1", "", "promoted"),
    ]
    assert all(entry["who"] for entry in entries)


@on_sqlite
def test_a_decision_is_kept_as_a_run_with_its_grounds_and_as_tags_of_the_version(
    uri, run, make_bundle, other_bundle, gate_file, tmp_path
):
    good, worse = make_bundle(50.0), make_bundle(70.0, weights=other_bundle)
    name = good.manifest.name
    for bundle in (good, worse):
        run("register", bundle.path)
        run("promote", name, "candidate", "--gate", gate_file())
    client = MlflowClient(uri, uri)
    tags = client.get_model_version(name, "2").tags
    decision = client.get_run(tags["gate_run"])
    assert tags["gate"] == f"rejected: {decision.data.tags['reason']}"
    (entry,) = (entry for entry in json.loads(run("history", name, "--json")[1]) if entry["run_id"] == tags["gate_run"])
    assert entry["at"].endswith("+00:00")
    assert decision.info.status == "FINISHED"
    assert (decision.data.tags["kind"], decision.data.tags["champion"]) == ("promotion", "1")
    metrics = decision.data.metrics
    assert metrics["difference"] == metrics["candidate"] - metrics["champion"]
    assert metrics["low"] <= metrics["difference"] <= metrics["high"] < 0
    assert metrics["guard/size_ratio"] > 0
    client.download_artifacts(decision.info.run_id, "", str(tmp_path))
    verdict = json.loads((tmp_path / "verdict.json").read_text(encoding="utf-8"))
    assert verdict["verdict"] == "rejected"
    assert verdict["trial"]["sets"][0]["label"] == good.manifest.scores[-1].test_set
    assert (tmp_path / "verdict.txt").read_text(encoding="utf-8").splitlines()[-1].startswith("rejected: ")
    assert (tmp_path / "bootstrap.png").read_bytes().startswith(b"\x89PNG")


@on_sqlite
def test_undecided_says_what_is_missing_and_moves_nothing(uri, run, make_bundle, gate_file):
    first, second = make_bundle(50.0), make_bundle(60.0)
    name = first.manifest.name
    for bundle in (first, second):
        run("register", bundle.path)
    run("promote", name, "1", "--gate", gate_file())
    status, printed = run("promote", name, "2", "--gate", gate_file(minimum_items=1000))
    assert status == 2
    assert printed.splitlines()[-1].startswith(f"undecided: {name}/2 ")
    assert "need 976 more items" in printed
    assert aliases(uri, name) == {"candidate": 2, "champion": 1}


@on_sqlite
def test_a_failed_guard_rejects_even_the_first_champion(uri, run, make_bundle, gate_file):
    bundle = make_bundle(50.0)
    run("register", bundle.path)
    gate = gate_file(size_mb={"max": 0.001})
    status, printed = run("promote", bundle.manifest.name, "1", "--gate", gate, "--json")
    assert status == 1
    found = json.loads(printed)
    assert found["reason"].startswith("its size_mb is ")
    assert [guard["name"] for guard in found["trial"]["guards"] if not guard["passed"]] == ["size_mb"]
    assert aliases(uri, bundle.manifest.name) == {"candidate": 1}


def test_two_bundles_on_disk_are_compared_as_promote_would(make_bundle, other_bundle, gate_file, capsys, tmp_path):
    good, worse = make_bundle(50.0), make_bundle(60.0, weights=other_bundle)
    before = sorted(tmp_path.rglob("*"))
    gate = gate_file(minimum_items=ITEMS)

    def compare(*arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        status = main(["compare", *map(str, arguments), "--gate", str(gate)])
        return status, capsys.readouterr().out

    # A run and its bundle are one and the same.
    status, printed = compare(good.path.parent, worse.path, "--mode", "superiority")
    assert status == 0
    assert printed.splitlines()[-1].startswith("would be promoted: chrF 100.00 against the champion's ")
    status, printed = compare(worse.path, good.path, "--json")
    found = json.loads(printed)
    assert (status, found["verdict"]) == (1, "rejected")
    assert found["comparison"]["candidate"] < found["comparison"]["champion"] == 100
    assert found["comparison"]["difference"] < 0
    # Equal bundles are not inferior, and not superior.
    assert compare(good.path, good.path)[0] == 0
    status, printed = compare(good.path, good.path, "--mode", "superiority")
    assert (status, printed.splitlines()[-1].partition(":")[0]) == (1, "would be rejected")
    assert sorted(set(tmp_path.rglob("*")) - {gate}) == before


def test_bundles_of_different_work_and_bundles_without_held_out_sets_are_not_compared(make_bundle, gate_file):
    german, french = make_bundle(50.0), make_bundle(60.0, target="fr")
    with pytest.raises(ConfigError, match="these bundles cannot be compared: "):
        main(["compare", str(german.path), str(french.path)])
    shutil.rmtree(german.path.parent / "held_out")
    with pytest.raises(DataError, match="--inputs FILE --references FILE"):
        main(["compare", str(german.path), str(german.path)])


@on_sqlite
def test_the_mode_may_be_chosen_for_one_promotion(uri, run, make_bundle, gate_file):
    first, equal = make_bundle(50.0), make_bundle(60.0)
    for bundle in (first, equal):
        run("register", bundle.path)
    run("promote", first.manifest.name, "1", "--gate", gate_file())
    status, printed = run("promote", first.manifest.name, "2", "--gate", gate_file(), "--mode", "superiority", "--json")
    assert (status, json.loads(printed)["verdict"]) == (1, "rejected")
    assert aliases(uri, first.manifest.name) == {"candidate": 2, "champion": 1}


@on_sqlite
def test_items_may_be_given_as_files(uri, run, make_bundle, gate_file, toy_pairs, tmp_path):
    bundle = make_bundle(50.0)
    run("register", bundle.path)
    source, reference = tmp_path / "fresh.en.gz", tmp_path / "fresh.de"
    source.write_bytes(gzip.compress("".join(f"{text}\n" for text, _ in toy_pairs).encode()))
    reference.write_text("".join(f"{text}\n" for _, text in toy_pairs), encoding="utf-8")
    files = ("--inputs", source, "--references", reference)
    status, printed = run("promote", bundle.manifest.name, "1", "--gate", gate_file(), *files)
    assert status == 0
    assert "fresh.en.gz@" in printed
    with pytest.raises(ConfigError, match="belong together"):
        run("promote", bundle.manifest.name, "1", "--inputs", source)
    reference.write_text("one line\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"24 lines and .* has 1"):
        run("promote", bundle.manifest.name, "1", *files)


@on_sqlite
def test_items_may_be_given_as_a_held_out_set(uri, run, make_bundle, gate_file, toy_pairs, tmp_path):
    bundle = make_bundle(50.0)
    run("register", bundle.path)
    fresh = tmp_path / "fresh.parquet"
    write_held_out(fresh, [HeldOutItem(id=source, input=source, reference=text) for source, text in toy_pairs[:10]])
    status, printed = run("promote", bundle.manifest.name, "1", "--gate", gate_file(), "--held-out", fresh, "--json")
    assert status == 0
    (one,) = json.loads(printed)["trial"]["sets"]
    assert one["label"].startswith("fresh.parquet@")
    assert (one["items"], one["candidate"]) == (10, pytest.approx(100))
    with pytest.raises(ConfigError, match="two ways"):
        run("promote", bundle.manifest.name, "1", "--held-out", fresh, "--inputs", fresh, "--references", fresh)
    fresh.write_text("no table")
    with pytest.raises(DataError, match=r"cannot read .*fresh\.parquet"):
        run("promote", bundle.manifest.name, "1", "--held-out", fresh)


@on_sqlite
def test_a_first_champion_below_the_floor_is_rejected(uri, run, make_bundle, other_bundle, gate_file):
    # Its manifest boasts of a high score; what counts is what it does.
    bundle = make_bundle(99.0, weights=other_bundle)
    name = bundle.manifest.name
    run("register", bundle.path)
    status, printed = run("promote", name, "1", "--gate", gate_file(floor=90.0))
    assert status == 1
    assert "and a first champion needs at least 90" in printed.splitlines()[-1]
    assert aliases(uri, name) == {"candidate": 1}
    assert run("promote", name, "1", "--gate", gate_file(floor=None))[0] == 0


@on_sqlite
def test_without_a_file_the_gate_is_that_of_the_candidates_task(uri, run, make_bundle):
    bundle = make_bundle(50.0)
    run("register", bundle.path)
    settings = json.loads(run("promote", bundle.manifest.name, "1", "--json")[1])["trial"]["settings"]
    assert (settings["floor"], settings["minimum_items"], settings["metric"]) == (20.0, 500, "chrF")
    none = {"fall": None, "rise": None, "margin": None}
    assert settings["guards"]["length_ratio"] == {"min": 0.8, "max": 1.25, **none}


@on_sqlite
def test_what_was_not_held_out_for_both_decides_nothing(uri, run, make_bundle, gate_file, toy_pairs):
    first, other = make_bundle(50.0), make_bundle(60.0, pairs=toy_pairs[:20])
    name = first.manifest.name
    for bundle in (first, other):
        run("register", bundle.path)
    run("promote", name, "1", "--gate", gate_file())
    with pytest.raises(DataError, match=r"the champion has no score on toy/test@.*--inputs FILE --references FILE"):
        run("promote", name, "2", "--gate", gate_file())
    # The champion was chosen by these: they are its validation set.
    swapped = make_bundle(70.0, pairs=toy_pairs[::-1])
    run("register", swapped.path)
    with pytest.raises(DataError, match="no test set was held out for both models"):
        run("promote", name, "3", "--gate", gate_file())


@on_sqlite
def test_held_out_sets_that_are_missing_or_not_those_scored_on_are_refused(uri, run, make_bundle, gate_file):
    without, altered = make_bundle(50.0), make_bundle(60.0)
    shutil.rmtree(without.path.parent / "held_out")
    file = altered.path.parent / "held_out" / "test.parquet"
    write_held_out(file, read_held_out(file)[1:])
    for bundle in (without, altered):
        run("register", bundle.path)
    with pytest.raises(DataError, match="has stored no test set; give one with --held-out"):
        run("promote", without.manifest.name, "1", "--gate", gate_file())
    with pytest.raises(DataError, match=r"the held-out set test\.parquet of the training run is not what"):
        run("promote", without.manifest.name, "2", "--gate", gate_file())


@on_sqlite
def test_another_language_pair_is_rejected_without_being_decoded(uri, run, make_bundle, gate_file):
    german, french = make_bundle(50.0), make_bundle(60.0, target="fr")
    for bundle in (german, french):
        run("register", bundle.path)
    run("promote", german.manifest.name, "1", "--gate", gate_file())
    status, printed = run("promote", german.manifest.name, "2", "--gate", gate_file())
    assert status == 1
    assert "it does translation en-fr and the champion translation en-de; register it by another name" in printed


@on_sqlite
def test_a_version_that_does_not_exist_is_answered_with_those_that_do(uri, run, make_bundle):
    bundle = make_bundle(50.0)
    run("register", bundle.path)
    with pytest.raises(ConfigError, match=r"has no version '9'; there are the numbers 1 and the aliases candidate"):
        run("promote", bundle.manifest.name, "9")
    with pytest.raises(ConfigError, match="has no model 'nothing'"):
        run("promote", "nothing", "1")
    with pytest.raises(ConfigError, match="has no model 'nothing'"):
        run("history", "nothing")


def test_a_champion_whose_files_are_gone_is_named_and_registering_it_again_restores_it(
    uri, run, make_bundle, gate_file, request
):
    first, second = make_bundle(50.0), make_bundle(60.0)
    name = first.manifest.name
    for bundle in (first, second):
        run("register", bundle.path)
    run("promote", name, "1", "--gate", gate_file())
    version = Registry.open(uri).find(name, "1")
    stored = stored_folder(uri, version.name, request)
    for remove in (lambda: shutil.rmtree(stored), lambda: (found(stored, first) / "manifest.json").write_text("{}")):
        remove()
        with pytest.raises(BundleError, match=rf"cannot be judged against.*{name}/1.*rollback {name}"):
            run("promote", name, "2", "--gate", gate_file())
        assert run("register", first.path) == (0, f"registered: {name}/1 bundle {first.manifest.version}\n")
    # Registered again is not put forward again: the candidate still waits for its turn.
    assert aliases(uri, name) == {"candidate": 2, "champion": 1}
    status, printed = run("promote", name, "candidate", "--gate", gate_file())
    assert status == 0
    assert f"promoted: {name}/2 bundle" in printed
    third = make_bundle(70.0)
    run("register", third.path)
    run("register", first.path)
    assert aliases(uri, name) == {"candidate": 3, "champion": 2, "previous": 1}
    assert run("rollback", name)[0] == 0


def stored_folder(uri: str, name: str, request: pytest.FixtureRequest) -> Path:
    """Return the folder in which the store keeps the files of version 1."""
    source = MlflowClient(uri, uri).get_model_version(name, "1").source.removeprefix("models:/")
    if uri.startswith("sqlite:"):
        root = Path(uri.removeprefix("sqlite:///")).parent
    else:
        root = request.getfixturevalue("server").artifacts
    (folder,) = (path for path in root.rglob(source) if path.is_dir())
    return folder / "artifacts" / "artifacts" if (folder / "artifacts" / "artifacts").is_dir() else folder / "artifacts"


def found(folder: Path, bundle) -> Path:
    (manifest,) = folder.rglob("manifest.json")
    assert json.loads(manifest.read_text(encoding="utf-8"))["digest"] == bundle.manifest.digest
    return manifest.parent
