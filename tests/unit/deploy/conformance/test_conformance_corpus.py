"""The requests of a task: how long ones are spelled out, which items are made, and what counts as a tie."""

import base64
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from deploy.conformance import corpus
from deploy.conformance.compare import compare_cases, compare_items
from deploy.conformance.corpus import Case, Tie, load_corpus, picture
from dragoman.errors import ConfigError
from dragoman.http.protocol import Reply
from dragoman.items.bodies import JSON_TYPE, MULTIPART_TYPE, Part, RawRequest
from dragoman.items.multipart import read_parts
from dragoman.task_table import TASKS
from dragoman.tasks.base import Task, task_class

CLOSE = Tie(score="scores", within=0.1)


@dataclass(frozen=True)
class SomeLimits:
    max_items: int = 3
    max_characters: int = 10


def cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *requests: object) -> list[Case]:
    monkeypatch.setattr(corpus, "REQUESTS", tmp_path)
    entries = [{"name": str(number), "json": body, "status": 200} for number, body in enumerate(requests)]
    (tmp_path / "some.json").write_text(json.dumps({"items": "{number}", "requests": entries}), encoding="utf-8")
    return load_corpus("some").cases(SomeLimits())


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"inputs": ["a", {"deep": 1}]}, {"inputs": ["a", {"deep": 1}]}),
        ({"inputs": {"$text": ["ab", 3]}}, {"inputs": "ababab"}),
        ({"inputs": {"$text": ["a", "max_characters"]}}, {"inputs": "a" * 11}),
        ({"inputs": {"$list": [7, "max_items"]}, "n": 1}, {"inputs": [7, 7, 7, 7], "n": 1}),
        ({"a": [{"$filled": ["abc", "max_characters"]}]}, {"a": ["abcabcabc"]}),
    ],
)
def test_what_is_long_is_spelled_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: object, sent: object
) -> None:
    (case,) = cases(tmp_path, monkeypatch, given)
    assert json.loads(case.request.body) == sent


def test_every_task_has_its_requests_and_its_class_knows_its_items() -> None:
    for name in TASKS:
        items = load_corpus(name).items(200)
        assert len(set(items)) == 200
        assert task_class(name).request_for(items)


def test_a_task_without_requests_is_told_with_those_that_have_some() -> None:
    with pytest.raises(ConfigError, match=r"no requests for the task 'juggling'.*translation"):
        load_corpus("juggling")


@pytest.mark.parametrize(
    ("tie", "ours", "theirs", "is_tie"),
    [
        (Tie(), {"scores": [1.0]}, {"scores": [1.0]}, False),
        (Tie(score="scores", within=0.1), {"scores": [[-1.0, -2.0]]}, {"scores": [[-1.05, -3.0]]}, True),
        (Tie(score="scores", within=0.1), {"scores": [-1.0]}, {"scores": [-1.2]}, False),
        (Tie(score="scores", within=0.1), {"scores": [-1.0]}, {"error": "no"}, False),
    ],
)
def test_a_tie_is_what_the_corpus_says(tie: Tie, ours: dict, theirs: dict, is_tie: bool) -> None:
    assert tie.between(ours, theirs) is is_tie


@pytest.mark.parametrize(
    ("ours", "theirs", "is_covered"),
    [
        ({"out": ["a"], "scores": [[-1.0, -2.0]]}, {"out": ["a"], "scores": [[-1.05, -2.0]]}, True),
        ({"out": ["a"], "scores": [[-1.0, -2.0]]}, {"out": ["a"], "scores": [[-1.0, -2.2]]}, False),
        ({"out": ["a"], "scores": [[-1.0, -2.0]]}, {"out": ["a"], "scores": [[-1.0]]}, False),
        ({"out": ["a"], "scores": [-1.0]}, {"out": ["b"], "scores": [-1.0]}, False),
        ({"out": ["a"], "scores": [-1.0]}, {"out": ["a"]}, False),
        ({"out": 1.0}, {"out": 1.05}, False),
    ],
)
def test_two_answers_are_the_same_but_for_scores_that_are_close(ours: dict, theirs: dict, is_covered: bool) -> None:
    assert CLOSE.covers(ours, theirs) is is_covered
    assert not Tie().covers(ours, theirs)


class Doubling(Task):
    """An unknown task, whose outputs are its inputs, twice."""


class Server:
    name, reports_status = "a server", True

    def __init__(self, wrong: str | None = None) -> None:
        self._wrong = wrong

    def ask(self, request: RawRequest) -> Reply:
        (item,) = json.loads(request.body)["inputs"]
        return Reply(200, {"outputs": [f"{item} {'?' if item == self._wrong else item}"], "model": self.name})


def test_items_of_any_task_are_compared_by_their_outputs() -> None:
    told: list[str] = []
    right, wrong = compare_items(["a", "b", "c"], Doubling, Tie(), Server(), [Server(), Server("b")], told.append)
    assert (right.items, right.identical, right.differences) == (3, 3, ())
    assert wrong.identical == 2
    assert [difference.case for difference in wrong.differences] == ["b"]
    assert told == ["a server: 3 requests, 16 at a time"] * 2


class Listing(Task):
    """An unknown task, whose answers are lists."""

    @classmethod
    def outputs_of(cls, body: Any) -> list[Any]:
        return list(body)


class ListServer(Server):
    def ask(self, request: RawRequest) -> Reply:
        (item,) = json.loads(request.body)["inputs"]
        if item == "refused":
            return Reply(400, {"error": "no", "code": "invalid_input"})
        return Reply(200, [[item, "?"] if item == self._wrong else [item, item]])


def test_answers_that_are_lists_are_compared_as_others_are() -> None:
    _, wrong = compare_items(
        ["a", "b", "refused"], Listing, Tie(), ListServer(), [ListServer(), ListServer("b")], [].append
    )
    assert [(difference.case, difference.what) for difference in wrong.differences] == [
        ("b", "[['b', '?']] != [['b', 'b']]")
    ]
    cases = [case("a", 200, None), case("b", 200, None), case("refused", 400, "invalid_input")]
    (found,) = compare_cases(cases, ListServer(), [ListServer(), ListServer("b")], CLOSE)
    assert (found.case, found.what) == ("b", "['b', '?'], the engine's is ['b', 'b']")


def case(item: str, status: int, code: str | None) -> Case:
    request = RawRequest(body=json.dumps({"inputs": [item]}).encode(), content_type=JSON_TYPE)
    return Case(name=item, request=request, status=status, code=code, field=None)


def test_a_list_in_the_place_of_an_object_is_a_difference() -> None:
    (found,) = compare_cases([case("a", 200, None)], Server(), [ListServer()], CLOSE)
    assert found.what.startswith("[['a', 'a']], the engine's is {'outputs'")


FILES = {"one": base64.b64encode(b"\x89one\x00").decode()}


@pytest.mark.parametrize(
    ("entry", "body", "content_type"),
    [
        ({"file": "one", "content_type": "image/png"}, b"\x89one\x00", "image/png"),
        ({"file": ["one", 2], "content_type": None}, b"\x89o", None),
        ({"file": ["one", "max_characters"]}, b"\x89one" + bytes(7), JSON_TYPE),
        ({"json": {"inputs": [{"$file": "one"}]}}, b'{"inputs": ["' + FILES["one"].encode() + b'"]}', JSON_TYPE),
        (
            {"json": {"inputs": {"$list": [{"$file": ["one", 1]}, 2]}}},
            b'{"inputs": ["iQ==", "iQ=="]}',
            JSON_TYPE,
        ),
    ],
)
def test_bodies_hold_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: dict[str, Any], body: bytes, content_type: str | None
) -> None:
    request = corpus_of(tmp_path, monkeypatch, entry)
    assert (request.body, request.content_type) == (body, content_type)


def corpus_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: dict[str, Any]) -> RawRequest:
    monkeypatch.setattr(corpus, "REQUESTS", tmp_path)
    found = {"items": {"picture": [2, 2]}, "files": FILES, "requests": [{"name": "", "status": 200, **entry}]}
    (tmp_path / "some.json").write_text(json.dumps(found), encoding="utf-8")
    (case,) = load_corpus("some").cases(SomeLimits())
    assert case.over_grpc is (case.request.content_type in (None, JSON_TYPE))
    return case.request


def test_a_multipart_body_is_spelled_from_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [{"name": "a", "filename": "a.png", "type": "image/png", "file": "one"}, {"name": "b", "text": "3"}]
    request = corpus_of(tmp_path, monkeypatch, {"parts": parts})
    assert request.media_type == MULTIPART_TYPE
    assert read_parts(request) == [Part(name="a", content=b"\x89one\x00"), Part(name="b", content=b"3")]
    assert b'filename="a.png"\r\nContent-Type: image/png\r\n' in request.body


def test_pictures_of_different_numbers_differ_and_any_reader_opens_them() -> None:
    opened = Image.open(io.BytesIO(picture(5, 20, 12)))
    opened.load()
    assert (opened.size, opened.mode) == ((20, 12), "RGB")
    assert len({opened.getpixel((0, 0)), opened.getpixel((19, 0)), opened.getpixel((0, 11))}) == 3
    assert len({picture(number, 1, 1) for number in range(3_000)}) == 3_000


def test_items_that_are_files_are_sent_as_they_are() -> None:
    class Files(Doubling):
        takes_files = True

    class Echo(Server):
        def ask(self, request: RawRequest) -> Reply:
            assert request.content_type is None
            return Reply(200, [{"size": len(request.body)}])

    (report,) = compare_items([b"\x89a", b"b"], Files, Tie(), Echo(), [Echo()], lambda _: None)
    assert report.identical == 2
