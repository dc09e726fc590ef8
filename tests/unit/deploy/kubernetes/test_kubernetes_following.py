"""Servers in a cluster that follow an alias, and champion and candidate side by side."""

import json
import re
import subprocess
import sys
from pathlib import Path
from string import Template
from typing import Any

from dragoman.live.pointer import Pointer
from model_registry import command_line
from tests.kubernetes import OVERLAYS, environment, named, of_kind, render


def test_followers_ask_for_what_the_command_line_understands() -> None:
    followed = {}
    for name in OVERLAYS:
        objects = render(name)
        for each in of_kind(objects, "Deployment"):
            follower = each["spec"]["template"]["spec"]["initContainers"][0]
            settings = environment(follower, objects)
            # A cluster writes $(NAME) where a template writes ${NAME}.
            words = [
                Template(re.sub(r"\$\((\w+)\)", r"${\1}", word)).substitute(settings) for word in follower["command"]
            ]
            assert words[:3] == ["python", "-m", "model_registry"]
            arguments = command_line.parser().parse_args(words[3:])
            server = each["spec"]["template"]["spec"]["containers"][0]
            assert {"name": "DRAGOMAN_FOLLOW", "value": str(arguments.into)} in server["env"]
            followed[name, each["metadata"]["name"]] = arguments.target
    candidates = {key for key, target in followed.items() if target == "my-model@candidate"}
    assert candidates == {("overlays/canary", "bento-candidate")}
    assert {target for key, target in followed.items() if key not in candidates} == {"my-model@champion"}


def test_servers_read_what_followers_write(overlay: list[dict[str, Any]]) -> None:
    for each in of_kind(overlay, "Deployment"):
        template = each["spec"]["template"]["spec"]
        (read,) = (mount for mount in template["containers"][0]["volumeMounts"] if mount["mountPath"] == "/models")
        (written,) = (
            mount for mount in template["initContainers"][0]["volumeMounts"] if mount["mountPath"] == "/models"
        )
        assert read == {**written, "readOnly": True}
        assert template["initContainers"][0]["restartPolicy"] == "Always"


def test_the_champion_waits_for_its_followers_first_word_and_the_candidate_for_a_bundle(tmp_path: Path) -> None:
    objects = render("overlays/canary")
    champion, candidate = (
        named(objects, "Deployment", name)["spec"]["template"]["spec"]["initContainers"][0]
        for name in ("bento", "bento-candidate")
    )

    def start() -> list[bool]:
        """Tell whether the server beside the follower may start: the champion's, the candidate's."""
        commands = [each["startupProbe"]["exec"]["command"] for each in (champion, candidate)]
        here = [[word.replace("/models/", f"{tmp_path}/") for word in command] for command in commands]
        programs = {"python": sys.executable}
        return [
            subprocess.run([programs.get(word, word), *words], capture_output=True).returncode == 0
            for word, *words in here
        ]

    assert start() == [False, False]
    Pointer(reference="my-model@champion", error="MLflow is out of reach").write(tmp_path)
    assert start() == [True, False]
    Pointer(reference="my-model@champion", bundle="my-model-0123456789ab").write(tmp_path)
    assert start() == [True, True]


def test_a_download_of_minutes_is_not_cut_off(overlay: list[dict[str, Any]]) -> None:
    for each in of_kind(overlay, "Deployment"):
        probe = each["spec"]["template"]["spec"]["initContainers"][0]["startupProbe"]
        assert probe["periodSeconds"] * probe["failureThreshold"] >= 600


def test_champion_and_candidate_are_the_same_but_for_what_they_follow() -> None:
    objects = render("overlays/canary")
    champion, candidate = (named(objects, "Deployment", name)["spec"] for name in ("bento", "bento-candidate"))
    follower = candidate["template"]["spec"]["initContainers"][0]
    assert follower.pop("env") == [{"name": "DRAGOMAN_ALIAS", "value": "candidate"}]
    del follower["startupProbe"], champion["template"]["spec"]["initContainers"][0]["startupProbe"]
    label = '"app.kubernetes.io/instance": "{}"'
    text = json.dumps(candidate).replace(label.format("candidate"), label.format("champion"))
    assert json.loads(text) == champion


def test_the_gateway_shares_all_requests_between_champion_and_candidate() -> None:
    objects = render("overlays/canary")
    (route,) = of_kind(objects, "HTTPRoute")
    (rule,) = route["spec"]["rules"]
    assert sum(backend["weight"] for backend in rule["backendRefs"]) == 100
    assert [backend["name"] for backend in rule["backendRefs"]] == ["bento", "bento-candidate"]
    for backend in rule["backendRefs"]:
        ports = named(objects, "Service", backend["name"])["spec"]["ports"]
        assert backend["port"] in {port["port"] for port in ports}
    # Nothing of a model is for the world before the task's component says so.
    assert [match["path"]["value"] for match in rule["matches"]] == ["/docs.json"]
