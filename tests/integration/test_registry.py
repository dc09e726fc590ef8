"""The registry and the tracking against a real MLflow server, and against SQLite without one."""

import getpass
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from dragoman.bundle.store import open_bundle
from dragoman.errors import BundleError, ConfigError, OutputError, UnavailableError
from model_registry.command_line import main, parser
from model_registry.gate.settings import task_settings
from model_registry.mlflow_store.connection import bounded_requests
from model_registry.mlflow_store.tracking import TrackedRun
from model_registry.promotion.promote import promote
from model_registry.versions.registry import Registry
from tests.integration.fault_proxy import FaultProxy
from tests.integration.mlflow_server import free_port, mlflow_server

ROOT = Path(__file__).resolve().parents[2]


def test_registering_twice_makes_one_version_and_prints_the_same(uri, make_bundle, capsys):
    bundle = make_bundle(50.0)
    outputs = []
    for _ in range(2):
        assert main(["register", str(bundle.path), "--tracking-uri", uri]) == 0
        outputs.append(capsys.readouterr().out)
    name = bundle.manifest.name
    assert outputs == [f"registered: {name}/1 bundle {bundle.manifest.version}\n"] * 2
    (version,) = Registry.open(uri).versions(name)
    assert version.aliases == ("candidate",)
    assert version.digest == bundle.manifest.digest

    assert main(["list", name, "--tracking-uri", uri]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split()[:6] == ["NAME", "VERSION", "BUNDLE", "ALIASES", "chrF", "BLEU"]
    assert row.split()[:6] == [name, "1", bundle.manifest.version, "candidate", "50.00", "25.00"]


def test_a_creation_whose_reply_was_lost_leaves_one_version(server, make_bundle):
    from mlflow.tracking import MlflowClient

    bundle = make_bundle(50.0)
    registry = Registry.open(server.uri)
    first = registry.register(bundle)
    client = MlflowClient(server.uri, server.uri)
    stored = client.get_model_version(first.name, "1")
    # What a client does whose first request was carried out, but never answered.
    client.create_model_version(
        first.name, stored.source, stored.run_id, tags=stored.tags, model_id=stored.source.removeprefix("models:/")
    )
    assert len(registry.versions(first.name)) == 2

    assert registry.register(bundle).number == 1
    assert [version.number for version in registry.versions(first.name)] == [1]


def test_a_version_shows_scores_lineage_signature_and_input_example(server, make_bundle):
    bundle = make_bundle(61.234)
    name = Registry.open(server.uri).register(bundle).name

    def ask(path: str, /, **query: str) -> requests.Response:
        response = requests.get(f"{server.uri}/{path}", params={"name": name, "version": "1", **query}, timeout=10)
        response.raise_for_status()
        return response

    record = ask("api/2.0/mlflow/model-versions/get").json()["model_version"]
    # Only what somebody filters by.
    assert {tag["key"]: tag["value"] for tag in record["tags"]} == {
        "digest": bundle.manifest.digest,
        "bundle_version": bundle.manifest.version,
        "task": "translation",
        "registered_by": getpass.getuser(),
    }
    lines = record["description"].splitlines()
    score = bundle.manifest.scores[0]
    assert f"| chrF | 61.23 | 60.23 to 62.23 | {score.test_set} (24) |" in lines
    assert f"- chrF on ct2-int8: `{score.signature}`" in lines
    assert any(line.startswith("| BLEU | 30.62 |") for line in lines)
    sample = lines[lines.index("### Sample") + 4]
    assert sample.startswith("| Room 12, please. | ")
    for key, value in (("git commit", "c0ffee"), ("corpus fingerprint", "toy-corpus"), ("config digest", "1" * 64)):
        assert f"- {key}: `{value}`" in lines
    # The commands are whole: they need only be copied.
    commands = [shlex.split(line) for line in lines[lines.index("```sh") + 1 : lines.index("```")]]
    targets = [parser().parse_args(words[3:]).target for words in commands if words[2] == "model_registry"]
    assert targets == [f"{name}/1", f"{name}/1"]
    label = f"{name}-{bundle.manifest.version}"
    assert commands[2:] == [
        ["bentoml", "serve", f"{name}:{bundle.manifest.version}"],
        ["python", "-m", "deploy.torchserve", "--mar", f"dist/{label}.mar"],
    ]

    # What the page of a version in MLflow's UI reads.
    model_file = ask("model-versions/get-artifact", path="MLmodel").text
    assert '"name": "q"' in model_file
    assert "num_beams" in model_file
    assert "max_new_tokens" in model_file
    example = ask("model-versions/get-artifact", path="serving_input_example.json").json()
    assert example["dataframe_split"]["columns"] == ["q"]
    requirements = ask("model-versions/get-artifact", path="requirements.txt").text.split()
    assert all("==" in line for line in requirements)
    assert {line.split("==")[0] for line in requirements} >= {"mlflow", "ctranslate2", "sentencepiece", "sentencex"}


def test_a_description_shows_the_samples_of_the_run_and_stays_as_a_person_left_it(sqlite_uri, make_bundle):
    registry = Registry.open(sqlite_uri, create=True)
    bundle = make_bundle(50.0)
    rows = [{"source": f"line {row}\n| end", "reference": "x" * 1000, "hypothesis": "<ä>"} for row in range(5)]
    samples = bundle.path.parent / "samples.json"
    samples.write_text('{"by": "somebody else"}', encoding="utf-8")
    name = registry.register(bundle).name
    assert "| source | hypothesis |" in registry.client.get_model_version(name, "1").description
    registry.client.update_model_version(name, "1", "")
    samples.write_text(json.dumps(rows, sort_keys=True), encoding="utf-8")
    registry.register(bundle)
    shown = registry.client.get_model_version(name, "1").description
    assert "| source | reference | hypothesis |" in shown
    assert rf"| line 2 \| end | {'x' * 159}… | &lt;ä&gt; |" in shown
    assert "line 3" not in shown
    assert len(shown) <= 5000
    registry.client.update_model_version(name, "1", "Ours.")
    registry.register(bundle)
    assert registry.client.get_model_version(name, "1").description == "Ours."


def test_versions_that_were_registered_before_are_listed_with_their_scores(sqlite_uri, make_bundle, capsys):
    registry = Registry.open(sqlite_uri, create=True)
    bundle = make_bundle(50.0)
    name = registry.register(bundle).name
    # The tags of an earlier release, and a version that something else registered.
    for key, value in (("chrF", "50.00"), ("chrF_test_set", "toy (24 items)"), ("chrF_signature", "nrefs:1")):
        registry.client.set_model_version_tag(name, "1", key, value)
    registry.client.create_model_version(name, "file:///elsewhere")
    assert main(["list", name, "--tracking-uri", sqlite_uri]) == 0
    header, other, ours = capsys.readouterr().out.splitlines()
    assert header.split()[4:6] == ["chrF", "BLEU"]
    assert other.split()[1:6] == ["2", "-", "-", "-", "-"]
    assert ours.split()[1:6] == ["1", bundle.manifest.version, "candidate", "50.00", "25.00"]
    registry.client.delete_logged_model(registry.find(name, "1").model_id)
    assert main(["list", name, "--tracking-uri", sqlite_uri]) == 0
    assert capsys.readouterr().out.splitlines()[2].split()[1:4] == ["1", bundle.manifest.version, "candidate"]


def test_a_run_names_the_corpora_it_reads_once_and_the_command_that_made_it(uri):
    from mlflow.tracking import MlflowClient

    corpora = [
        {"name": f"toy/{split}", "digest": digest, "source": '{"kind": "toy"}', "context": split}
        for split, digest in (("train", "0a1b2c3d"), ("validation", "1b2c3d4e"), ("test", "2c3d4e5f"))
    ]
    tags = {"mlflow.source.name": "python -m train"}
    run = TrackedRun.open(tracking_uri=uri, experiment="corpora", run_name="toy", params={}, tags=tags)
    run.log_corpora(corpora)
    run.log_corpora(corpora)
    run.finish("KILLED")
    run = TrackedRun.open(tracking_uri=uri, experiment="-", run_name="-", params={}, tags={}, run_id=run.run_id)
    run.log_corpora(corpora)
    run.finish("FINISHED")
    stored = MlflowClient(uri, uri).get_run(run.run_id)
    assert stored.data.tags["mlflow.source.name"] == "python -m train"
    found = [
        {
            "name": one.dataset.name,
            "digest": one.dataset.digest,
            "source": one.dataset.source,
            "context": {tag.key: tag.value for tag in one.tags}["mlflow.data.context"],
        }
        for one in stored.inputs.dataset_inputs
    ]
    assert sorted(found, key=lambda one: one["digest"]) == corpora


def test_the_source_of_a_run_is_the_command_that_made_it(make_bundle, tmp_path):
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    bundle = make_bundle(50.0)
    command = [sys.executable, "-m", "model_registry", "register", str(bundle.path), "--tracking-uri", uri]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    client = MlflowClient(uri, uri)
    (run,) = client.search_runs([client.get_experiment_by_name(bundle.manifest.name).experiment_id])
    assert run.data.tags["mlflow.source.name"] == "python -m model_registry"
    assert (run.data.tags["imported"], run.data.tags["git_commit"]) == ("true", "c0ffee")


def test_a_run_whose_record_was_never_sent_to_its_end_gets_its_held_out_sets_when_it_is_registered(
    sqlite_uri, make_bundle, tmp_path
):
    run = TrackedRun.open(tracking_uri=sqlite_uri, experiment="cut", run_name="cut", params={}, tags={})
    run.finish("FAILED")
    bundle = make_bundle(50.0, run_id=run.run_id)
    registry = Registry.open(sqlite_uri)
    for _ in range(2):
        version = registry.register(bundle)
        assert version.run_id == run.run_id
        stored = registry.held_out_files(version, tmp_path)
        assert [file.name for file in stored] == ["test.parquet", "validation.parquet"]


def test_a_fetched_bundle_is_the_registered_one_and_fetching_again_keeps_it(uri, make_bundle, tmp_path, capsys):
    bundle = make_bundle(50.0)
    main(["register", str(bundle.path), "--tracking-uri", uri])
    for _ in range(2):
        capsys.readouterr()
        assert main(["fetch", f"{bundle.manifest.name}@candidate", "--out", str(tmp_path), "--tracking-uri", uri]) == 0
        version, path = (line.partition(": ")[2] for line in capsys.readouterr().out.splitlines())
        assert version == f"{bundle.manifest.name}/1"
        assert Path(path) == tmp_path / f"{bundle.manifest.name}-{bundle.manifest.version}"
        assert open_bundle(path).manifest == bundle.manifest


def test_a_fetched_bundle_is_verified_once(server, make_bundle, tmp_path):
    registry, verified = Registry.open(server.uri), []

    def opened(path: Path):
        verified.append(path)
        return open_bundle(path)

    fetched = registry.fetch(registry.register(make_bundle(50.0)), tmp_path, opened)
    assert len(verified) == 1
    assert fetched == open_bundle(fetched.path)


@pytest.mark.parametrize(
    ("tag", "value"),
    [("bundle_version", "../../outside"), ("bundle_version", "0" * 12), ("digest", "../../outside"), ("digest", "a")],
)
def test_a_version_whose_tags_name_no_bundle_is_not_fetched(server, make_bundle, tmp_path, tag, value):
    registry = Registry.open(server.uri)
    version = registry.register(make_bundle(50.0))
    registry.client.set_model_version_tag(version.name, "1", tag, value)
    with pytest.raises(BundleError, match=rf"the tags of {version.reference} are damaged: .*64 hexadecimal"):
        registry.fetch(registry.find(version.name, "1"), tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "outside").exists()


def test_a_copy_is_kept_when_the_stored_files_are_gone(server, make_bundle, tmp_path):
    registry = Registry.open(server.uri)
    version = registry.register(make_bundle(50.0))
    copy = registry.fetch(version, tmp_path / "out")
    (stored,) = (path for path in server.artifacts.rglob("manifest.json") if holds(path, version.name, "manifest.json"))
    shutil.rmtree(stored.parents[1])
    assert registry.fetch(version, tmp_path / "out") == copy


def test_packaging_a_version_prints_the_archive_and_the_bento(server, make_bundle, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "bentoml"))
    bundle = make_bundle(50.0)
    version = Registry.open(server.uri).register(bundle)
    assert main(["package", version.reference, "--out", str(tmp_path), "--tracking-uri", server.uri]) == 0
    lines = capsys.readouterr().out.splitlines()
    label = f"{version.name}-{version.bundle_version}"
    assert lines == [f"mar: {tmp_path}/{label}.mar", f"bento: {version.name}:{version.bundle_version}"]
    assert (tmp_path / f"{label}.mar").stat().st_size > 0


@pytest.mark.parametrize("file", ["model/spiece.model", "engines/ct2-int8/model.bin", "manifest.json"])
def test_a_store_file_with_one_changed_byte_is_refused_and_leaves_nothing(server, make_bundle, tmp_path, file):
    bundle = make_bundle(50.0)
    registry = Registry.open(server.uri)
    version = registry.register(bundle)
    (stored,) = (path for path in server.artifacts.rglob(file) if holds(path, version.name, file))
    content = bytearray(stored.read_bytes())
    # In the manifest, a letter of a text, so that it stays JSON.
    place = content.index(b"toy/validation") if file == "manifest.json" else len(content) // 2
    content[place] ^= 1
    stored.write_bytes(content)

    out = tmp_path / "out"
    with pytest.raises(BundleError, match=r"artifact digest mismatch: .* expected sha256:\w+ got sha256:\w+"):
        registry.fetch(version, out)
    assert list(out.iterdir()) == []
    with pytest.raises(BundleError, match="digest mismatch"):
        promote(registry, version.name, "candidate", task_settings)
    assert registry.find(version.name, "1").aliases == ("candidate",)


def holds(stored: Path, name: str, file: str) -> bool:
    manifest = stored.parents[file.count("/")] / "manifest.json"
    return manifest.exists() and json.loads(manifest.read_text(encoding="utf-8"))["name"] == name


def test_another_bundle_in_a_versions_place_is_refused(server, make_bundle, tmp_path):
    """Another bundle that verifies is not the one that was registered."""
    first, second = make_bundle(50.0), make_bundle(60.0)
    registry = Registry.open(server.uri)
    version = registry.register(first)
    (stored,) = (path for path in server.artifacts.rglob("manifest.json") if holds(path, version.name, "manifest.json"))
    for file in second.path.rglob("*"):
        if file.is_file():
            (stored.parent / file.relative_to(second.path)).write_bytes(file.read_bytes())
    with pytest.raises(
        BundleError, match=f"expected sha256:{first.manifest.digest} got sha256:{second.manifest.digest}"
    ):
        registry.fetch(version, tmp_path / "out")


def test_mlflow_users_load_and_predict_without_this_repository(server, make_bundle, tmp_path):
    bundle = make_bundle(50.0)
    version = Registry.open(server.uri).register(bundle)
    code = f"""
import json, mlflow, pandas
model = mlflow.pyfunc.load_model("models:/{version.name}@candidate")
frame = model.predict(pandas.DataFrame({{"q": ["The man sees the red car.", " "]}}), params={{"num_beams": 2}})
import dragoman
print(json.dumps({{"code": dragoman.__file__, "rows": frame.to_dict("records")}}))
"""
    environment = {**os.environ, "MLFLOW_TRACKING_URI": server.uri, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert not answer["code"].startswith(str(ROOT))
    good, bad = answer["rows"]
    assert good["translation"]
    assert good["finish_reason"] in ("stop", "length")
    assert not good["error"]
    assert not bad["translation"]
    assert "empty" in bad["error"]


def test_a_tracked_run_holds_what_training_gave_it(uri, make_bundle, tmp_path):
    from mlflow.tracking import MlflowClient

    run = TrackedRun.open(
        tracking_uri=uri,
        experiment="tracked",
        run_name="toy",
        params={f"train.setting_{number}": number for number in range(130)},
        tags={"git_commit": "c0ffee"},
    )
    for step in range(1, 51):
        run.metrics({"loss": 1 / step}, step=step, units=100 * step)
    run.table("samples.json", [{"step": 50, "source": "a", "translation": "b"}])
    (tmp_path / "curves.png").write_bytes(b"picture")
    run.artifact(tmp_path / "curves.png")
    bundle = make_bundle(50.0, run_id=run.run_id)
    model_uri = run.log_bundle(bundle.path)
    run.finish("KILLED")

    # The run goes on from step 41, as after a kill: what it repeats is not there twice.
    run = TrackedRun.open(tracking_uri=uri, experiment="-", run_name="-", params={}, tags={}, run_id=run.run_id)
    for step in range(41, 61):
        run.metrics({"loss": 1 / step}, step=step, units=100 * step)
    assert run.log_bundle(bundle.path) == model_uri
    run.finish("FINISHED")

    client = MlflowClient(uri, uri)
    stored = client.get_run(run.run_id)
    assert stored.info.status == "FINISHED"
    assert len(stored.data.params) == 130
    assert stored.data.tags["git_commit"] == "c0ffee"
    assert [point.step for point in client.get_metric_history(run.run_id, "loss")] == list(range(1, 61))
    assert [point.step for point in client.get_metric_history(run.run_id, "vs_units/loss")] == list(
        range(100, 6100, 100)
    )
    assert {entry.path for entry in client.list_artifacts(run.run_id)} == {"curves.png", "samples.json"}
    (model,) = client.search_logged_models(
        [stored.info.experiment_id], f"tags.bundle_digest='{bundle.manifest.digest}'"
    )
    assert model.source_run_id == run.run_id
    assert {metric.key: metric.value for metric in model.metrics} == {"chrF": 50.0, "BLEU": 25.0}
    assert model.params["train.setting_7"] == "7"

    # Registering takes the model that training stored.
    version = Registry.open(uri).register(bundle)
    assert version.run_id == run.run_id
    assert client.get_model_version(version.name, "1").source == model_uri


def test_metrics_outlive_a_restart_of_the_server(tmp_path):
    from mlflow.tracking import MlflowClient

    port = free_port()
    with mlflow_server(tmp_path, port) as server:
        run = TrackedRun.open(tracking_uri=server.uri, experiment="outage", run_name="toy", params={}, tags={})
        run.metrics({"loss": 1.0}, step=1, units=10)
    started = time.monotonic()
    for step in range(2, 500):
        run.metrics({"loss": 1 / step}, step=step, units=10 * step)
    assert time.monotonic() - started < 1, "training waited for a dead server"
    with mlflow_server(tmp_path, port) as server:
        run.finish("FINISHED")
        points = MlflowClient(server.uri).get_metric_history(run.run_id, "loss")
    assert [point.step for point in points] == list(range(1, 500))


def test_what_did_not_reach_a_server_at_the_end_is_told_and_sent_once_when_the_run_is_resumed(tmp_path, monkeypatch):
    from mlflow.tracking import MlflowClient

    port, points = free_port(), {step: 1 / step for step in range(1, 50)}
    with mlflow_server(tmp_path, port) as server:
        run = TrackedRun.open(tracking_uri=server.uri, experiment="outage", run_name="toy", params={}, tags={})
        run.metrics({"loss": points[1]}, step=1, units=10)
    for step in range(2, 50):
        run.metrics({"loss": points[step]}, step=step, units=10 * step)
    monkeypatch.setattr("model_registry.mlflow_store.metric_queue.PATIENCE_AT_THE_END_SECONDS", 0.1)
    with pytest.raises(UnavailableError, match=r"points of run .* did not reach"):
        run.finish("FINISHED")

    with mlflow_server(tmp_path, port) as server:
        monkeypatch.undo()
        again = TrackedRun.open(
            tracking_uri=server.uri, experiment="-", run_name="-", params={}, tags={}, run_id=run.run_id
        )
        for step, value in points.items():
            again.metrics({"loss": value}, step=step, units=10 * step)
        again.finish("FINISHED")
        client = MlflowClient(server.uri, server.uri)
        sent = client.get_metric_history(run.run_id, "loss")
        assert [(point.step, point.value) for point in sent] == list(points.items())
        assert client.get_run(run.run_id).info.status == "FINISHED"


def test_a_table_that_is_sent_again_is_there_once(uri, tmp_path):
    from mlflow.tracking import MlflowClient

    run = TrackedRun.open(tracking_uri=uri, experiment="tables", run_name="toy", params={}, tags={})
    rows = [{"input": "a", "output": "ä", "right": True}, {"input": "b\n", "output": "", "right": False}]
    for _ in range(2):
        run.table("samples.json", rows)
    run.finish("FINISHED")
    client = MlflowClient(uri, uri)
    stored = client.get_run(run.run_id)
    table = client.load_table(stored.info.experiment_id, "samples.json", [run.run_id])
    assert table.to_dict("records") == rows
    # By this MLflow's page of the run shows it as a table.
    assert json.loads(stored.data.tags["mlflow.loggedArtifacts"]) == [{"path": "samples.json", "type": "table"}]


def test_a_store_that_is_not_there_is_named_within_seconds(tmp_path):
    uri = f"http://127.0.0.1:{free_port()}"
    started = time.monotonic()
    with pytest.raises(UnavailableError, match=f"{uri} does not answer .* --tracking-uri .* or MLFLOW_TRACKING_URI"):
        TrackedRun.open(tracking_uri=uri, experiment="x", run_name="x", params={}, tags={})
    with pytest.raises(UnavailableError, match=r"postgresql\+psycopg2://.*does not answer"):
        Registry.open(f"postgresql://127.0.0.1:{free_port()}/mlflow")
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        with pytest.raises(UnavailableError, match="does not answer"):
            Registry.open(f"http://127.0.0.1:{mute.getsockname()[1]}")
    assert time.monotonic() - started < 10


def test_what_is_not_there_is_answered_with_what_is(server, make_bundle):
    bundle = make_bundle(50.0)
    registry = Registry.open(server.uri)
    registry.register(bundle)
    name = bundle.manifest.name
    with pytest.raises(ConfigError, match=f"has no model 'nothing'; it has .*{name}"):
        registry.find("nothing", "champion")
    with pytest.raises(
        ConfigError, match=f"{name} has no version '9'; there are the numbers 1 and the aliases candidate"
    ):
        registry.find(name, "9")
    with pytest.raises(ConfigError, match="is not in"):
        TrackedRun.open(tracking_uri=server.uri, experiment="x", run_name="x", params={}, tags={}, run_id="0" * 32)


def test_the_command_ends_with_the_status_of_its_error(make_bundle, tmp_path):
    bundle = make_bundle(50.0)
    weights = bundle.path / "model" / "spiece.model"
    weights.write_bytes(weights.read_bytes() + b"!")
    command = [sys.executable, "-m", "model_registry", "register", str(bundle.path)]
    command += ["--tracking-uri", f"sqlite:///{tmp_path}/mlflow.db"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 78
    assert done.stdout == ""
    assert done.stderr.startswith("error: artifact digest mismatch: ")
    assert done.stderr.count("\n") == 1


def test_a_server_whose_artifact_store_takes_no_files_is_named_soon(make_bundle, tmp_path):
    # What a bucket without the right to write, a full disk or a directory of another user are to a server.
    (tmp_path / "artifacts").write_text("a file where a directory should be")
    with mlflow_server(tmp_path, free_port()) as running:
        started = time.monotonic()
        with pytest.raises(UnavailableError, match="answers, but its artifact store does not take or give files"):
            Registry.open(running.uri).register(make_bundle(50.0))
        assert time.monotonic() - started < 60


def test_a_server_that_fails_to_give_files_is_not_taken_for_one_that_has_lost_them(server, make_bundle, tmp_path):
    version = Registry.open(server.uri).register(make_bundle(50.0))
    with FaultProxy(server.uri).running() as proxy:
        registry = Registry.open(proxy.uri)
        proxy.fail = lambda method, path: "/mlflow-artifacts/" in path
        with (
            bounded_requests(MLFLOW_HTTP_REQUEST_MAX_RETRIES="0"),
            pytest.raises(UnavailableError, match="its artifact store does not take or give files"),
        ):
            registry.fetch(version, tmp_path / "dist")
    assert not list((tmp_path / "dist").iterdir())


def test_an_artifact_directory_that_cannot_be_written_is_named(make_bundle, tmp_path):
    (tmp_path / "artifacts").write_text("a file where a directory should be")
    registry = Registry.open(f"sqlite:///{tmp_path}/mlflow.db", create=True)
    bundle = make_bundle(50.0)
    registry.client.create_experiment(bundle.manifest.name, artifact_location=str(tmp_path / "artifacts"))
    with pytest.raises(OutputError, match="cannot store files in the artifact directory of sqlite:"):
        registry.register(bundle)


def test_files_go_through_the_server_unless_somebody_wants_it_otherwise(server, monkeypatch):
    download, upload = (f"MLFLOW_ENABLE_PROXY_MULTIPART_{way}" for way in ("DOWNLOAD", "UPLOAD"))
    monkeypatch.setenv(download, "true")
    monkeypatch.setenv(upload, "to be deleted")
    monkeypatch.delenv(upload)
    Registry.open(server.uri)
    assert (os.environ[download], os.environ[upload]) == ("true", "false")
