"""Promotions that are killed, that race, and whose replies are lost: the alias is right, and the history tells it."""

import itertools
import time
from collections.abc import Callable

import pytest
from mlflow.tracking import MlflowClient

from dragoman.errors import UnavailableError
from model_registry.__main__ import main
from model_registry.client import Registry
from model_registry.connection import connect
from model_registry.decisions import DecisionLog
from model_registry.flip import INTENT_TAG
from model_registry.lease import LEASE_TAG, lease
from model_registry.tracking import TrackedRun
from tests.integration import promoting
from tests.integration.fault_proxy import FaultProxy, every_second

on_sqlite = pytest.mark.parametrize("uri", ["sqlite"], indirect=True)


@pytest.fixture
def in_processes() -> Callable[..., list[int]]:
    """Runs functions in processes at once, and returns their exit codes."""

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
    monkeypatch.setattr("model_registry.lease.SETTLE_SECONDS", 0.05)
    monkeypatch.setattr("model_registry.lease.LOOK_AND_WRITE_SECONDS", 60.0)


def aliases(uri: str, name: str) -> dict[str, int]:
    return {alias: version.number for version in Registry.open(uri).versions(name) for alias in version.aliases}


def assert_settled(uri: str, name: str) -> None:
    """Nothing is left half done, and every decision starts from what the one before it made champion."""
    client = MlflowClient(uri, uri)
    model = client.get_registered_model(name)
    assert INTENT_TAG not in model.tags
    experiment = client.get_experiment_by_name(f"{name} decisions")
    assert not client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'")
    moves = [one for one in DecisionLog(client, name).entries() if one.verdict in ("promoted", "rolled back")]
    for later, earlier in itertools.pairwise(moves):
        assert later.champion == earlier.candidate
    assert int(model.aliases["champion"]) == int(moves[0].candidate)
    assert str(model.aliases.get("previous", "")) == moves[0].champion


@on_sqlite
def test_a_kill_after_any_write_leaves_one_champion_and_the_next_command_mends_it(
    uri, make_bundle, gate_file, in_processes, quick_lease, capsys
):
    first, second = make_bundle(50.0), make_bundle(60.0)
    name, gate = first.manifest.name, str(gate_file())
    for bundle in (first, second):
        main(["register", str(bundle.path), "--tracking-uri", uri])
    promote = ["promote", name, "2", "--gate", gate, "--tracking-uri", uri]
    rollback = ["rollback", name, "--tracking-uri", uri]
    main(["promote", name, "1", "--gate", gate, "--tracking-uri", uri])

    steps = {"promote": 0, "rollback": 0}
    for arguments, before, after in ((promote, 1, 2), (rollback, 2, 1)) * 20:
        kind = arguments[0]
        if steps[kind] is None:
            (end,) = [main(arguments)]
            assert end == 0
            continue
        steps[kind] += 1
        (end,) = in_processes((promoting.command_killed, (arguments, steps[kind])))
        assert end in (-9, 0), f"{arguments[0]} ended with {end}"
        at = aliases(uri, name)
        assert at["champion"] in (before, after)
        started = time.monotonic()
        if at["champion"] == before:
            assert main(arguments) == 0
        elif kind == "promote":
            assert main(arguments) == 0
            assert "is the champion already" in capsys.readouterr().out
        else:
            # A second rollback would lead forward again; any promotion of the champion mends, and does no more.
            assert main([*promote[:2], "1", *promote[3:]]) == 0
        assert time.monotonic() - started < 10
        assert aliases(uri, name)["champion"] == after
        assert_settled(uri, name)
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
        monkeypatch.setattr("model_registry.lease.PATIENCE_SECONDS", 1.0)
        with pytest.raises(UnavailableError, match="others have been promoting"), lease(client, name):
            pass
        # Somebody who took it over, however that came about, is noticed before the next write.
        client.set_registered_model_tag(name, LEASE_TAG, "another")
        with pytest.raises(UnavailableError, match="was lost"):
            held.check()
    assert client.get_registered_model(name).tags[LEASE_TAG] == "another"


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
            run.metrics({"loss": 1 / step}, step=step, tokens=10 * step)
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
