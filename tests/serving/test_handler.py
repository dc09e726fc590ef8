"""The handler as TorchServe imports it: out of the unpacked archive, with a whole batch of different requests."""

import json
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from dragoman.bundle.store import open_bundle
from dragoman.http.protocol import Reply, answer, error_reply
from dragoman.items.bodies import RawRequest, repeated_form_field
from dragoman.predictor import Predictor, load
from handlers.seq2seq_handler import DEADLINE_S, _gpu_of_worker
from model_registry.packaging.mar import build_mar
from model_registry.packaging.mar_config import load_model_config
from tests.conftest import ROOT

SCRIPT = Path(__file__).with_name("handler_alone.py")
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
# What tasks other than translation need.
OF_OTHER_TASKS = ("tokenizers", "safetensors", "PIL", "onnx", "onnxruntime")
GRPC: dict[str, Any] = {"data": {"content-type": ""}}


@pytest.fixture(scope="module")
def predictor(tiny_bundle: Path) -> Iterator[Predictor]:
    predictor = load(tiny_bundle)
    yield predictor
    predictor.close()


@pytest.fixture(scope="module")
def unpacked(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(build_mar(open_bundle(tiny_bundle), tmp_path_factory.mktemp("dist"))) as archive:
        archive.extractall(folder)
    return folder


def handle(
    unpacked: Path, *batch: tuple[Mapping[str, bytes], Mapping[str, Any]], blocked: Sequence[str] = ()
) -> dict[str, Any]:
    """Run a batch of rows and headers through the handler, in a process that has the archive alone."""
    rows = [{"row": {key: value.decode("latin-1") for key, value in row.items()}, "headers": h} for row, h in batch]
    completed = subprocess.run(
        [sys.executable, "-I", "-S", str(SCRIPT), str(unpacked), sysconfig.get_path("purelib"), *blocked],
        input=json.dumps(rows),
        cwd=unpacked.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert completed.returncode == 0, completed.stderr
    result: dict[str, Any] = json.loads(completed.stdout)
    return result


def rest_headers(content_type: str | None, length: int) -> dict[str, Any]:
    """Make the headers of a REST request, with those that TorchServe adds for the inputs."""
    headers = {"body": {"content-type": content_type or ""}, "Host": "127.0.0.1", "content-length": str(length)}
    return headers if content_type is None else {**headers, "Content-Type": content_type}


@pytest.mark.parametrize(("gpu_id", "visible", "own"), [(1, None, "1"), (1, "2, 3", "3"), (0, "", ""), (1, "", "")])
def test_a_worker_sees_the_one_gpu_that_torchserve_gave_it_and_none_that_is_hidden(
    gpu_id: int, visible: str | None, own: str
) -> None:
    assert _gpu_of_worker(gpu_id, visible) == own


def test_the_handler_needs_nothing_but_its_archive(unpacked: Path) -> None:
    request = ({"body": b'{"q": "The man sees the red car."}'}, rest_headers(JSON, 35))
    result = handle(unpacked, request, blocked=OF_OTHER_TASKS)
    assert result["core"] == str(unpacked)
    assert result["replies"][0]["status"] == [200, "OK"]


def test_every_request_of_a_batch_gets_its_own_answer(unpacked: Path, predictor: Predictor) -> None:
    good = b'{"q": "The man sees the red car."}'
    cases: list[tuple[Mapping[str, bytes], Mapping[str, Any], RawRequest]] = [
        ({"body": good}, rest_headers(JSON, 34), RawRequest(body=good, content_type=JSON)),
        ({"body": b'{"q": '}, rest_headers(JSON, 6), RawRequest(body=b'{"q": ', content_type=JSON)),
        ({"body": b"Our dog"}, rest_headers("text/plain", 7), RawRequest(body=b"Our dog", content_type="text/plain")),
        (
            {"body": good},
            {**rest_headers(JSON, 34), "content-type": "text/plain"},
            # Of a header that is sent twice the first one counts, as at the other server.
            RawRequest(body=good, content_type=JSON),
        ),
        (
            {"body": b"<q/>"},
            rest_headers("application/xml", 4),
            RawRequest(body=b"<q/>", content_type="application/xml"),
        ),
        (
            {"q": b"Our dog", "alternatives": b"1"},
            rest_headers(FORM, 24),
            RawRequest(form={"q": ["Our dog"], "alternatives": ["1"]}),
        ),
        ({"body": b'{"\\ud800": 1}'}, rest_headers(JSON, 13), RawRequest(body=b'{"\\ud800": 1}', content_type=JSON)),
        ({"body": good}, rest_headers(None, 34), RawRequest(body=good)),
        ({}, rest_headers("multipart/form-data; boundary=x", 99), RawRequest(content_type="multipart/form-data")),
        ({"data": good}, GRPC, RawRequest(body=good, content_type=JSON)),
        ({"body": good}, {"body": {"content-type": ""}}, RawRequest(body=good, content_type=JSON)),
        ({"data": b"[]"}, GRPC, RawRequest(body=b"[]", content_type=JSON)),
        ({"q": b"Our dog"}, {"q": {"content-type": ""}}, RawRequest(form={"q": ["Our dog"]})),
        ({}, {}, RawRequest(form={})),
    ]

    replies = handle(unpacked, *((row, headers) for row, headers, _ in cases))["replies"]

    expected = answer(predictor, [request for _, _, request in cases])
    assert [_reply(reply) for reply in replies] == expected
    statuses = [reply.status for reply in expected]
    assert statuses == [200, 400, 200, 200, 415, 200, 400, 200, 415, 200, 200, 400, 200, 400]
    assert all(reply["headers"]["content-type"] == JSON and reply["status"][1].isascii() for reply in replies)


def test_only_grpc_requests_are_told_that_nothing_follows(unpacked: Path) -> None:
    body = b'{"q": "Our dog"}'
    # An input may be called as a header is, and is none for that.
    batch = [({"body": body}, rest_headers(JSON, 16)), ({"Host": body}, {"Host": {"content-type": ""}})]

    rest, grpc = handle(unpacked, *batch)["replies"]

    assert "ts_stream_next" not in rest["headers"]
    assert grpc["headers"]["ts_stream_next"] == "false"


def test_a_header_is_found_however_its_name_is_written(unpacked: Path) -> None:
    names = ("content-type", "CONTENT-TYPE", "Content-Type")
    headers = [{"body": {"content-type": ""}, name: "text/plain; charset=utf-8"} for name in names]
    replies = handle(unpacked, *(({"body": b"Our"}, header) for header in headers))["replies"]
    assert [reply["status"] for reply in replies] == [[200, "OK"]] * 3


def test_a_form_of_which_torchserve_drops_a_part_is_refused(unpacked: Path) -> None:
    forms = {
        "q=Good+morning.&q=Good+evening.": {"q": b"Good evening."},
        "q=a&alternatives=1&alternatives=2": {"q": b"a", "alternatives": b"2"},
        "q=Good morning&evening": {"q": b"Good morning"},
    }
    replies = handle(unpacked, *((row, rest_headers(FORM, len(sent))) for sent, row in forms.items()))["replies"]
    for reply in replies:
        assert reply["status"] == [400, "Bad Request"]
        assert reply["body"] == error_reply(repeated_form_field()).body


def test_a_form_of_which_nothing_is_lost_is_answered(unpacked: Path) -> None:
    sent = ("q=Our dog&", "q=Our+dog", "q=Our%20dog\r\n", "q=%4Fur%20dog")
    replies = handle(unpacked, *(({"q": b"Our dog"}, rest_headers(FORM, len(form))) for form in sent))["replies"]
    assert [reply["status"] for reply in replies] == [[200, "OK"]] * len(sent)


def test_a_form_over_the_limit_is_refused_by_its_announced_size(unpacked: Path) -> None:
    (reply,) = handle(unpacked, ({"q": b"a" * 20_000}, rest_headers(FORM, 20_002)))["replies"]
    assert (reply["status"][0], reply["body"]["code"]) == (413, "body_too_large")


def test_a_form_that_is_not_utf8_is_refused(unpacked: Path) -> None:
    (reply,) = handle(unpacked, ({"q": b"M\xfcller"}, rest_headers(FORM, 10)))["replies"]
    assert (reply["status"][0], reply["body"]["code"]) == (400, "invalid_input")
    assert reply["body"]["error"] == "a form field is not UTF-8 at byte 1; send UTF-8"


def _reply(reply: Mapping[str, Any]) -> Reply:
    return Reply(reply["status"][0], reply["body"])


def test_the_handler_answers_before_torchserve_kills_it() -> None:
    config = load_model_config(ROOT / "handlers" / "model-config.yaml")
    assert config["responseTimeout"] - config["maxBatchDelay"] / 1000 >= DEADLINE_S + 30
