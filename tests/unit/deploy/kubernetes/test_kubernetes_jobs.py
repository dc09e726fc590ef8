"""Trainings and searches as Kubernetes Jobs: what they run, and what they do when a node is lost."""

import os
import shlex
import subprocess
from pathlib import Path

from dragoman.errors import BundleError, ConfigError, DataError, DragomanError
from model_registry import command_line
from tests.kubernetes import SEARCH, TRAINING, environment, of_kind, pods, render


def test_jobs_give_up_at_once_where_the_same_again_would_fail_again() -> None:
    wrong = sorted(error.exit_code for error in (ConfigError, DataError, BundleError))
    for name in (TRAINING, SEARCH):
        (job,) = of_kind(render(name), "Job")
        rules = {rule["action"]: rule for rule in job["spec"]["podFailurePolicy"]["rules"]}
        on_codes = rules["FailJob"]["onExitCodes"]
        # Without a container's name it means each of them.
        assert on_codes == {"operator": "In", "values": wrong}
        assert rules["Ignore"]["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
        # Without it the policy is refused.
        assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    assert rules["FailIndex"]["onExitCodes"]["values"] == [DragomanError.exit_code]


def test_a_search_has_as_many_workers_as_indices_and_its_settings_are_right() -> None:
    from tune.search.definition import load_definition
    from tune.study.database import parse_url

    (job,) = of_kind(render(SEARCH), "Job")
    assert job["spec"]["completionMode"] == "Indexed"
    assert job["spec"]["completions"] == job["spec"]["parallelism"]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["python", "-m", "tune"]
    plan = load_definition(container["args"])
    assert plan.search.then == "train"
    url = parse_url(plan.search.storage)
    assert (url.get_backend_name(), url.username, url.password) == ("postgresql", "optuna", None)
    (secret,) = (variable for variable in container["env"] if variable["name"] == "PGPASSWORD")
    assert secret["valueFrom"]["secretKeyRef"]["name"] == "optuna-postgresql"


def test_a_training_starts_and_after_a_lost_node_goes_on(tmp_path: Path) -> None:
    from train.config.compose import compose_config

    objects = render(TRAINING)
    (job,) = of_kind(objects, "Job")
    (container,) = job["spec"]["template"]["spec"]["initContainers"]
    variables = environment(container, objects)
    programs = tmp_path / "programs"
    programs.mkdir()
    # Stands for the interpreter, and shows what it was called with.
    (programs / "python").write_text('#!/bin/sh\nprintf "%s\\n" "$*"\n', encoding="utf-8")
    (programs / "python").chmod(0o755)

    def started() -> list[str]:
        done = subprocess.run(
            [*container["command"], *container["args"]],
            cwd=tmp_path,
            env={**variables, "PATH": f"{programs}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=True,
        )
        return shlex.split(done.stdout)

    first = started()
    assert first[:3] == ["-m", "train", f"run_dir={variables['RUN_DIR']}"]
    assert str(compose_config(first[2:]).run_dir) == variables["RUN_DIR"]
    run = tmp_path / variables["RUN_DIR"]
    run.mkdir(parents=True)
    (run / "config.yaml").touch()
    assert started() == ["-m", "train", f"resume={variables['RUN_DIR']}"]


def test_what_a_job_trained_is_registered_where_it_was_recorded() -> None:
    objects = render(TRAINING)
    (job,) = pods(objects)
    # One after the other.
    (trains,), (registers,) = job.spec["initContainers"], job.containers
    assert registers["image"] == trains["image"]
    variables = environment(registers, objects)
    assert variables == environment(trains, objects)
    words = [word.replace("$(RUN_DIR)", variables["RUN_DIR"]) for word in registers["command"]]
    assert words[:3] == ["python", "-m", "model_registry"]
    arguments = command_line.parser().parse_args(words[3:])
    assert (arguments.command, str(arguments.path)) == ("register", variables["RUN_DIR"])
