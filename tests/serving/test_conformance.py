import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.conformance.compare import compare_cases
from deploy.conformance.corpus import Case, load_corpus
from deploy.conformance.servers import InProcess
from dragoman.engines.selection import ENGINE_VARIABLE
from dragoman.http.protocol import Reply
from dragoman.items.bodies import RawRequest
from dragoman.predictor import load
from dragoman.task_table import TASKS
from dragoman.tasks.base import task_class
from dragoman.tasks.translation.options import Limits
from tests.conftest import BUNDLES, ROOT
from tests.tiny_model import write_tiny_bundle


def cases() -> list[Case]:
    return load_corpus("translation").cases(Limits())


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, toy_sentences: list[str]) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("conforming"), toy_sentences, limits=Limits())


# The torch engine has its own rule for ties, which one task shows.
@pytest.mark.parametrize(("task", "engine"), [*((task, "auto") for task in TASKS), ("translation", "torch")])
def test_every_way_into_the_model_gives_the_same_answers(
    task: str, engine: str, request: pytest.FixtureRequest, toy_sentences: list[str], tmp_path: Path
):
    # With the limits that bundles have by default, which the translation model of other tests has not.
    bundle: Path = request.getfixturevalue("bundle" if task == "translation" else BUNDLES[task])
    if task_class(task).takes_files:
        items = tmp_path / "files"
        items.mkdir()
        for number, file in enumerate(load_corpus(task).items(300)):
            assert isinstance(file, bytes)
            (items / f"{number}").write_bytes(file)
    else:
        items = tmp_path / "sentences.txt"
        items.write_text("\n".join(toy_sentences[:300]), encoding="utf-8")
    command = [sys.executable, "-m", "deploy.conformance", "--bundle", str(bundle), "--items", str(items)]
    environment = {**os.environ, ENGINE_VARIABLE: engine}
    finished = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    count = len(load_corpus(task).entries)
    assert f"{count} requests: {count} answered alike everywhere" in finished.stdout
    rows = [line for line in finished.stdout.splitlines() if "│ 300" in line]
    assert [row.split("│")[1].strip() for row in rows] == ["Bento HTTP", "TorchServe REST", "TorchServe gRPC"]
    assert all(row.count("300") == 2 for row in rows), finished.stdout


def test_a_server_that_answers_otherwise_is_found_out(bundle: Path):
    class Sloppy:
        name = "sloppy"
        reports_status = True

        def ask(self, request: RawRequest) -> Reply:
            reply = engine.ask(request)
            return Reply(200, reply.body) if reply.status == 415 else reply

    predictor = load(bundle)
    engine = InProcess(predictor)
    refused = [case.name for case in cases() if case.status == 415]
    assert len(refused) >= 4
    found = compare_cases(cases(), engine, [Sloppy()])
    predictor.close()
    assert [difference.case for difference in found] == refused
