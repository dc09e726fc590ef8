"""Promotions that are killed, that race, or whose replies are lost: the alias and the history stay right."""

import itertools
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from dragoman.errors import UnavailableError
from model_registry.command_line import main
from model_registry.mlflow_store.connection import connect
from model_registry.mlflow_store.tracking import TrackedRun
from model_registry.promotion import champion_alias
from model_registry.promotion.champion_alias import INTENT_TAG
from model_registry.promotion.history import DecisionLog
from model_registry.promotion.lease import LEASE_TAG, Lease, lease
from model_registry.versions.registry import Registry
from tests.integration import promoting
from tests.integration.fault_proxy import FaultProxy, every_second

on_sqlite = pytest.mark.parametrize("uri", ["sqlite"], indirect=True)


@pytest.fixture
def in_processes() -> Callable[..., list[int]]:
    """Return a function that runs functions in processes at once and returns their exit codes."""

    def run(*calls: tuple[Callable[..., None], tuple[object, ...]]) -> list[int]:
        context = promoting.context()
        processes = [context.Process(target=function, args=arguments) for function, arguments in calls]
        for process in processes:
            process.start()
        for process in processes:
            process.join(240)
        return [process.exitcode for process in processes]

    return run


@pytest.fixture
def quick_lease(monkeypatch) -> None:
    monkeypatch.setattr("model_registry.promotion.lease.SETTLE_SECONDS", 0.05)
    monkeypatch.setattr("model_registry.promotion.lease.LOOK_AND_WRITE_SECONDS", 60.0)


def aliases(uri: str, name: str) -> dict[str, int]:
    return {alias: version.number for version in Registry.open(uri).versions(name) for alias in version.aliases}


def status(client: MlflowClient, run_id: str) -> str:
    return str(client.get_run(run_id).info.status)


def assert_settled(uri: str, name: str) -> None:
    """Check that nothing is left unfinished, and that every move starts from the champion of the one before."""
    client = MlflowClient(uri, uri)
    model = client.get_registered_model(name)
    assert INTENT_TAG not in model.tags
    experiment = client.get_experiment_by_name(f"{name} decisions")
    assert not client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'")
    moves = [one for one in DecisionLog(client, name).entries() if one.verdict in ("promoted", "champion again")]
    for later, earlier in itertools.pairwise(moves):
        assert later.champion == earlier.candidate
    assert int(model.aliases["champion"]) == int(moves[0].candidate)
    assert str(model.aliases.get("previous", "")) == moves[0].champion


@on_sqlite
def test_a_kill_after_any_write_leaves_one_champion_and_the_next_command_settles_it(
    uri, make_bundle, gate_file, in_processes, quick_lease, capsys
):
    first, second = make_bundle(50.0), make_bundle(60.0)
    name, gate = first.manifest.name, str(gate_file())
    for bundle in (first, second):
        main(["register", str(bundle.path), "--tracking-uri", uri])
    promote = ["promote", name, "2", "--gate", gate, "--tracking-uri", uri]
    rollback = ["rollback", name, "--tracking-uri", uri]
    main(["promote", name, "1", "--gate", gate, "--tracking-uri", uri])

    def told() -> list[dict[str, str]]:
        capsys.readouterr()
        assert main(["history", name, "--json", "--tracking-uri", uri]) == 0
        return json.loads(capsys.readouterr().out)

    known = told()
    steps = {"promote": 0, "rollback": 0}
    for arguments, before, after in ((promote, 1, 2), (rollback, 2, 1)) * 20:
        kind = arguments[0]
        if steps[kind] is None:
            (end,) = [main(arguments)]
            assert end == 0
            known = told()
            continue
        steps[kind] += 1
        (end,) = in_processes((promoting.command_killed, (arguments, steps[kind])))
        assert end in (-9, 0), f"{arguments[0]} ended with {end}"
        at = aliases(uri, name)
        assert at["champion"] in (before, after)
        started = time.monotonic()
        # The history alone settles what was left, and shows a decision if the alias had been moved.
        decisions = told()
        assert_settled(uri, name)
        assert len(decisions) == len(known) + (at["champion"] == after)
        if at["champion"] == before:
            assert main(arguments) == 0
            decisions = told()
            assert len(decisions) == len(known) + 1
        assert time.monotonic() - started < 10
        assert aliases(uri, name)["champion"] == after
        assert_settled(uri, name)
        known = decisions
        if end == 0:
            steps[kind] = None
        if steps == {"promote": None, "rollback": None}:
            break
    assert steps == {"promote": None, "rollback": None}, "the sweep did not reach the last write"


def test_eight_processes_that_promote_at_once_make_one_line_of_champions(uri, make_bundle, gate_file, in_processes):
    bundles = [make_bundle(50.0 + number) for number in range(4)]
    name, gate = bundles[0].manifest.name, str(gate_file())
    for bundle in bundles:
        Registry.open(uri, create=True).register(bundle)
    calls = [
        (promoting.command, (["promote", name, str(1 + number % 4), "--gate", gate, "--tracking-uri", uri],))
        for number in range(8)
    ]
    assert in_processes(*calls) == [0] * 8
    assert_settled(uri, name)
    promoted = {one.candidate for one in DecisionLog(MlflowClient(uri, uri), name).entries()}
    assert promoted == {"1", "2", "3", "4"}


@on_sqlite
def test_a_dead_holder_of_the_lease_is_succeeded_at_once_and_a_living_one_is_waited_for(
    uri, make_bundle, in_processes, monkeypatch
):
    name = Registry.open(uri, create=True).register(make_bundle(50.0)).name
    client = MlflowClient(uri, uri)
    assert in_processes((promoting.take_lease_and_die, (uri, name))) == [-9]
    assert LEASE_TAG in client.get_registered_model(name).tags
    started = time.monotonic()
    with lease(client, name) as held:
        held.check()
        assert time.monotonic() - started < 10
        monkeypatch.setattr("model_registry.promotion.lease.PATIENCE_SECONDS", 1.0)
        with pytest.raises(UnavailableError, match="others have been promoting"), lease(client, name):
            pass
        # Requests end in seconds while it is held, and as before when it is not.
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"
        # Somebody who took it over, however that came about, is noticed before the next write.
        client.set_registered_model_tag(name, LEASE_TAG, "another")
        with pytest.raises(UnavailableError, match="was lost"):
            held.check()
    assert client.get_registered_model(name).tags[LEASE_TAG] == "another"
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


@on_sqlite
def test_a_run_that_nobody_writes_any_more_is_ended_and_one_that_is_being_written_is_left_alone(
    uri, make_bundle, in_processes, quick_lease, monkeypatch
):
    name = Registry.open(uri, create=True).register(make_bundle(50.0)).name
    client = MlflowClient(uri, uri)
    log = DecisionLog(client, name)
    ours = log.open(promoting.REJECTION, {}, None)
    assert in_processes((promoting.open_decision_and_die, (uri, name))) == [-9]
    (theirs,) = log.left_open()
    assert champion_alias.settle(client, name)
    assert not champion_alias.settle(client, name)
    assert (status(client, theirs), status(client, ours)) == ("KILLED", "RUNNING")
    log.close(ours)
    assert [one.run_id for one in log.entries()] == [ours]
    # Of another machine's process nothing is known but the age of its run.
    far = log.open(promoting.REJECTION, {}, None)
    client.set_tag(far, "writer", json.dumps({"machine": "far away", "pid": 1, "started": 0}))
    assert not champion_alias.settle(client, name)
    monkeypatch.setattr("model_registry.promotion.history.LONGEST_DECISION_SECONDS", -1.0)
    assert champion_alias.settle(client, name)
    assert status(client, far) == "KILLED"
    # What was carried out stays in the history, whatever is found to be left over.
    log.discard(ours)
    assert [one.run_id for one in log.entries()] == [ours]


def test_a_move_of_the_alias_that_stalls_is_given_up_before_others_may_promote(
    server, make_bundle, gate_file, quick_lease
):
    bundles = [make_bundle(50.0 + number) for number in range(3)]
    name, gate = bundles[0].manifest.name, str(gate_file())
    for bundle in bundles:
        Registry.open(server.uri).register(bundle)

    def promote(number: int, uri: str) -> list[str]:
        return ["promote", name, str(number), "--gate", gate, "--tracking-uri", uri]

    assert main(promote(1, server.uri)) == 0
    with FaultProxy(server.uri).running() as proxy:
        proxy.stall = lambda method, path: method == "POST" and path.endswith("registered-models/alias")
        stuck = promoting.context().Process(target=promoting.command, args=(promote(2, proxy.uri),))
        stuck.start()
        assert proxy.stalled.wait(120)
        assert main(promote(3, server.uri)) == 0
        proxy.flow.set()
        stuck.join(120)
    assert stuck.exitcode == 1
    assert aliases(server.uri, name)["champion"] == 3
    assert_settled(server.uri, name)
    log = DecisionLog(MlflowClient(server.uri, server.uri), name)
    assert [one.candidate for one in log.entries()] == ["3", "1"]


@on_sqlite
def test_a_lease_whose_time_passes_during_a_look_is_lost(uri, make_bundle, quick_lease, monkeypatch):
    name = Registry.open(uri, create=True).register(make_bundle(50.0)).name

    class Slow(MlflowClient):
        def get_registered_model(self, name):
            found = super().get_registered_model(name)
            time.sleep(1.0)
            return found

    token = "ours"
    client = MlflowClient(uri, uri)
    client.set_registered_model_tag(name, LEASE_TAG, token)
    with pytest.raises(UnavailableError, match=f"was lost; .*python -m model_registry history {name}"):
        Lease(Slow(uri, uri), name, token, until=time.monotonic() + 0.5).check()
    Lease(client, name, token, until=time.monotonic() + 30).check()


@on_sqlite
def test_files_are_sent_before_the_lease_is_taken_and_what_came_to_nothing_is_no_decision(
    uri, make_bundle, quick_lease, tmp_path
):
    for number in range(2):
        name = Registry.open(uri, create=True).register(make_bundle(50.0 + number)).name
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "verdict.txt").write_text("promoted", encoding="utf-8")
    held = []

    class Watching(MlflowClient):
        def log_artifacts(self, run_id, local_dir):
            held.append(LEASE_TAG in self.get_registered_model(name).tags)
            # Somebody else is quicker.
            move(MlflowClient(uri, uri), 1)
            super().log_artifacts(run_id, local_dir)

    def move(client: MlflowClient, number: int, artifacts: Path | None = None) -> bool:
        tags = {**promoting.REJECTION, "verdict": "promoted", "candidate": str(number)}
        return champion_alias.move_champion(
            client, name, judged=None, to=number, tags=tags, metrics={}, artifacts=artifacts
        )

    assert not move(Watching(uri, uri), 2, tmp_path / "artifacts")
    assert held == [False]
    assert aliases(uri, name)["champion"] == 1
    assert [one.candidate for one in DecisionLog(MlflowClient(uri, uri), name).entries()] == ["1"]
    assert_settled(uri, name)


def test_lost_replies_make_no_second_version_no_wrong_alias_and_no_doubled_point(
    server, make_bundle, gate_file, quick_lease
):
    with FaultProxy(server.uri).running() as proxy:
        proxy.lose = every_second(
            "model-versions/create",
            "registered-models/create",
            "registered-models/alias",
            "runs/log-batch",
            "registered-models/set-tag",
            "model-versions/set-tag",
            "runs/create",
            "runs/update",
            "logged-models",
        )
        first = make_bundle(50.0)
        name, gate = first.manifest.name, str(gate_file())
        for bundle in (first, *(make_bundle(51.0 + number) for number in range(5))):
            assert main(["register", str(bundle.path), "--tracking-uri", proxy.uri]) == 0
            assert main(["promote", name, "candidate", "--gate", gate, "--tracking-uri", proxy.uri]) == 0
        before = proxy.lost["runs/create"]
        runs = [
            TrackedRun.open(tracking_uri=proxy.uri, experiment="lost", run_name="toy", params={"a": 1}, tags={})
            for _ in range(2)
        ]
        assert proxy.lost["runs/create"] == before + 2
        run, idle = runs
        idle.finish("FINISHED")
        for step in range(1, 201):
            run.metrics({"loss": 1 / step}, step=step, units=10 * step)
        run.finish("FINISHED")
        assert sum(proxy.lost.values()) >= 50, proxy.lost
        assert {"model-versions/create", "runs/log-batch", "registered-models/alias"} <= set(proxy.lost)
    client = MlflowClient(server.uri, server.uri)
    versions = Registry.open(server.uri).versions(name)
    assert len({version.digest for version in versions}) == len(versions) == 6
    assert versions[0].aliases == ("candidate", "champion")
    assert versions[1].aliases == ("previous",)
    assert len(DecisionLog(client, name).entries()) == 6
    assert_settled(server.uri, name)
    assert [point.step for point in client.get_metric_history(run.run_id, "loss")] == list(range(1, 201))
    kept = client.search_runs([client.get_experiment_by_name("lost").experiment_id])
    assert {found.info.run_id: found.info.status for found in kept} == {r.run_id: "FINISHED" for r in runs}


def test_processes_that_make_one_new_store_at_once_do_not_disturb_each_other(tmp_path, in_processes):
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    assert in_processes(*[(promoting.open_store, (uri,))] * 6) == [0] * 6
    assert connect(uri).search_experiments()
