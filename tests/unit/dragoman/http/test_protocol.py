import json
import math
import threading
import time
import urllib.parse
from pathlib import Path

import pytest

import dragoman
from dragoman.http.protocol import answer
from dragoman.items.bodies import RawRequest
from dragoman.tasks.translation.options import Limits


@pytest.fixture(scope="module")
def predictor(tiny_bundle: Path):
    predictor = dragoman.load(tiny_bundle)
    yield predictor
    predictor.close()


def ask(predictor, payload, **options):
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return answer(predictor, [RawRequest(body=body, **options)])[0]


def test_one_text_is_answered_with_one_text_and_the_model_that_made_it(predictor):
    reply = ask(predictor, {"q": "the red car", "source": "en", "target": "de", "format": "text", "api_key": ""})
    manifest = predictor.bundle.manifest
    assert reply.status == 200
    assert reply.body["translatedText"] == predictor(["the red car"])[0].value.text
    assert reply.body["model"] == {
        "name": "tiny-en-de",
        "version": manifest.version,
        "run_id": None,
        "digest": f"sha256:{manifest.digest}",
    }
    assert json.loads(reply.content) == reply.body


def test_a_list_is_answered_with_lists_in_its_order(predictor):
    q = ["the station", "a cup of tea", "the station"]
    body = ask(predictor, {"q": q, "alternatives": 1, "return_scores": True}).body
    assert body["translatedText"][0] == body["translatedText"][2] != body["translatedText"][1]
    assert [len(body[name]) for name in ("alternatives", "scores", "finish_reason")] == [3, 3, 3]
    assert all(len(row) == 2 for row in body["scores"])


NESTED = [
    (1, "invalid_input", "num_beams"),
    (15, "invalid_input", "num_beams"),
    *((depth, "malformed_json", None) for depth in (16, 500, *range(900, 1000), 9_000)),
]
BAD = [
    (b"", 400, "malformed_json", None),
    (b"{", 400, "malformed_json", None),
    (b'{"q": NaN}', 400, "malformed_json", None),
    (b'{"q": "a", "q": "b"}', 400, "malformed_json", None),
    (b"[" * 100_000, 413, "body_too_large", None),
    (b"[" * 19_000, 400, "malformed_json", None),
    (b'{"q": ' + b"9" * 5_000 + b"}", 400, "malformed_json", None),
    (b'{"q": "\xff"}', 400, "malformed_json", None),
    *((b'{"q": "a", "num_beams": ' + b"[" * n + b"]" * n + b"}", 400, code, field) for n, code, field in NESTED),
    ([], 400, "invalid_input", None),
    ("text", 400, "invalid_input", None),
    ({}, 400, "invalid_input", "q"),
    ({"q": ""}, 400, "invalid_input", "q"),
    ({"q": " \n"}, 400, "invalid_input", "q"),
    ({"q": None}, 400, "invalid_input", "q"),
    ({"q": 5}, 400, "invalid_input", "q"),
    ({"q": []}, 400, "invalid_input", "q"),
    ({"q": ["a"] * 17}, 400, "invalid_input", "q"),
    ({"q": ["a", ["b"]]}, 400, "invalid_input", "q[1]"),
    ({"q": ["a", ""]}, 400, "invalid_input", "q[1]"),
    ({"q": ["a", "b", "x" * 401]}, 413, "text_too_long", "q[2]"),
    ({"q": "\ud800"}, 400, "invalid_input", "q"),
    ({"q": "a", "source": "fr"}, 400, "invalid_input", "source"),
    ({"q": "a", "source": "auto"}, 400, "invalid_input", "source"),
    ({"q": "a", "target": ["de"]}, 400, "invalid_input", "target"),
    ({"q": "a", "format": "html"}, 400, "invalid_input", "format"),
    ({"q": "a", "alternatives": -1}, 400, "invalid_input", "alternatives"),
    ({"q": "a", "alternatives": 8}, 400, "invalid_input", "alternatives"),
    ({"q": "a", "alternatives": True}, 400, "invalid_input", "alternatives"),
    ({"q": "a", "alternatives": 3, "num_beams": 3}, 400, "invalid_input", "num_beams"),
    ({"q": "a", "num_beams": 0}, 400, "invalid_input", "num_beams"),
    ({"q": "a", "num_beams": 9}, 400, "invalid_input", "num_beams"),
    ({"q": "a", "num_beams": 2.0}, 400, "invalid_input", "num_beams"),
    ({"q": "a", "max_new_tokens": 65}, 400, "invalid_input", "max_new_tokens"),
    ({"q": "a", "length_penalty": -0.1}, 400, "invalid_input", "length_penalty"),
    ({"q": "a", "length_penalty": "1"}, 400, "invalid_input", "length_penalty"),
    ({"q": "a", "return_scores": 1}, 400, "invalid_input", "return_scores"),
    ({"q": "a", "temperature": 1}, 400, "invalid_input", "temperature"),
    ({"q": "a", "\ud800": 1}, 400, "invalid_input", "\ud800"),
]


@pytest.mark.parametrize(("payload", "status", "code", "field"), BAD)
def test_a_bad_request_gets_its_status_code_and_field_in_one_sentence(predictor, payload, status, code, field):
    reply = ask(predictor, payload)
    assert (reply.status, reply.body["code"], reply.body.get("field")) == (status, code, field)
    assert set(reply.body) <= {"error", "code", "field"}
    assert 10 < len(reply.body["error"]) < 250
    assert reply.content


def test_a_failed_sentence_names_its_text(predictor, monkeypatch):
    engine = predictor.task.engine
    (poison,) = predictor.task.prepare("the umbrella").items
    decode = engine.decode

    def fragile(sources, *arguments, **options):
        if poison.ids in sources:
            raise RuntimeError("poison")
        return decode(sources, *arguments, **options)

    monkeypatch.setattr(engine, "decode", fragile)
    bad, good = "a cup of tea.\nthe umbrella\nthe station", "a cup of tea.\nthe station"
    for q, field in ((bad, "q"), ([bad], "q[0]"), ([good, good, bad, good], "q[2]")):
        reply = ask(predictor, {"q": q})
        assert (reply.status, reply.body["code"], reply.body["field"]) == (422, "unprocessable_text", field)
    assert ask(predictor, {"q": [good, good]}).status == 200


def test_a_text_that_is_too_long_is_refused_before_any_is_tokenized(predictor, monkeypatch):
    monkeypatch.setattr(predictor.task, "_tokenizer", None)
    reply = ask(predictor, {"q": ["the station", "x" * 401]})
    assert (reply.status, reply.body["code"], reply.body["field"]) == (413, "text_too_long", "q[1]")


def test_the_longest_text_fits_into_a_body_however_it_is_escaped():
    longest = "🚲" * Limits().max_characters
    bodies = [json.dumps({"q": longest}), f"q={urllib.parse.quote(longest)}"]
    assert max(map(len, bodies)) + 1_000 < Limits().max_body_bytes


def test_more_sentences_than_any_text_has_are_refused(predictor, monkeypatch):
    monkeypatch.setattr("dragoman.tasks.translation.task.MAX_SENTENCES", 10)
    assert ask(predictor, {"q": ["a\n" * 5, "b\n" * 5]}).status == 200
    reply = ask(predictor, {"q": ["a\n" * 5, "b\n" * 6]})
    assert (reply.status, reply.body["code"], reply.body["field"]) == (413, "text_too_long", "q[1]")
    assert ask(predictor, {"q": "a\n" * 11}).body["field"] == "q"


def test_what_has_not_begun_at_the_deadline_is_told_so(predictor):
    raw = [RawRequest(body=b'{"q": "the station"}'), RawRequest(body=b'{"q": ""}')]
    late, bad = answer(predictor, raw, deadline=time.monotonic())
    assert (late.status, late.body["code"], bad.status) == (504, "deadline_exceeded", 400)
    assert answer(predictor, raw, deadline=time.monotonic() + 60)[0].status == 200


@pytest.mark.parametrize("body", [b'{"q": "the red car"}', b"q=the+red+car&source=en", b"the red car"])
def test_json_forms_and_plain_text_give_the_same_answer(predictor, body):
    kinds = {b"{": "application/json; charset=utf-8", b"q": "application/x-www-form-urlencoded", b"t": "text/plain"}
    reply = ask(predictor, body, content_type=kinds[body[:1]])
    assert reply == ask(predictor, {"q": "the red car"})


def test_form_fields_have_the_types_of_the_json_fields(predictor):
    body = b"q=42&alternatives=1&return_scores=true&length_penalty=0.5"
    payload = {"q": "42", "alternatives": 1, "return_scores": True, "length_penalty": 0.5}
    reply = ask(predictor, body, content_type="application/x-www-form-urlencoded")
    assert reply.status == 200
    assert reply == ask(predictor, payload)


def test_a_form_with_a_field_twice_is_refused_since_servers_differ_in_which_counts(predictor):
    reply = ask(predictor, b"q=a&q=b", content_type="application/x-www-form-urlencoded")
    assert (reply.status, reply.body["code"]) == (400, "invalid_input")


def test_a_form_value_nested_without_end_is_refused(predictor):
    body = b"q=a&num_beams=" + b"[" * 19_000
    reply = ask(predictor, body, content_type="application/x-www-form-urlencoded")
    assert (reply.status, reply.body["field"]) == (400, "num_beams")


def test_a_form_that_a_server_has_split_already_is_answered_the_same(predictor):
    split = answer(predictor, [RawRequest(form={"q": ["the red car"], "num_beams": ["2"]})])[0]
    assert split == ask(predictor, {"q": "the red car", "num_beams": 2})


@pytest.mark.parametrize(
    ("body", "content_type", "hint"),
    [
        (b'{"q": "a=b&c"}', "application/x-www-form-urlencoded", "Content-Type: application/json"),
        (b'{"q": "a"}', "application/x-www-form-urlencoded", "Content-Type: application/json"),
        (b"just a text", "application/x-www-form-urlencoded", "Content-Type: application/json"),
        (b"x", "multipart/form-data; boundary=x", "application/json"),
        (b"x", "application/vnd.bentoml+pickle", "application/json"),
    ],
)
def test_other_media_types_are_refused_with_what_to_send(predictor, body, content_type, hint):
    reply = ask(predictor, body, content_type=content_type)
    assert (reply.status, reply.body["code"]) == (415, "unsupported_media_type")
    assert hint in reply.body["error"]


def test_bad_requests_among_good_ones_leave_their_answers_as_they_are(predictor, toy_sentences):
    bodies = [json.dumps({"q": sentence}).encode() for sentence in toy_sentences[:10]]
    alone = [ask(predictor, body) for body in bodies]
    mixed = answer(
        predictor, [RawRequest(body=body) for pair in zip(bodies, [b"{"] * 10, strict=True) for body in pair]
    )
    assert mixed[::2] == alone
    assert {reply.status for reply in mixed[1::2]} == {400}


def test_threads_that_share_a_predictor_get_their_own_answers(predictor, toy_sentences):
    expected = [ask(predictor, {"q": sentence}) for sentence in toy_sentences[:20]]
    answers: dict[int, list] = {}

    def work(thread: int) -> None:
        answers[thread] = [ask(predictor, {"q": sentence}) for sentence in toy_sentences[:20]]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(replies == expected for replies in answers.values())


def test_a_failure_nobody_foresaw_still_answers_every_request_once(predictor, monkeypatch, caplog):
    monkeypatch.setattr(predictor.task, "run", lambda items: 1 / 0)
    replies = answer(predictor, [RawRequest(body=b'{"q": "a"}'), RawRequest(body=b"{")])
    assert [reply.status for reply in replies] == [500, 400]
    assert replies[0].body["code"] == "internal_error"
    assert "ZeroDivisionError" not in replies[0].body["error"]


@pytest.mark.parametrize("method", ["parse", "assemble", "render"])
def test_a_fault_of_the_tasks_own_code_is_a_500_for_its_request_alone(predictor, monkeypatch, method):
    real = getattr(predictor.task, method)

    def breaks_on_marked(*arguments):
        if "marked" in str(arguments):
            raise KeyError("nobody foresaw it")
        return real(*arguments)

    monkeypatch.setattr(predictor.task, method, breaks_on_marked)
    bodies = [{"q": "the red car"}, {"q": "marked text"}, {"q": "a dog"}]
    replies = answer(predictor, [RawRequest(body=json.dumps(body).encode()) for body in bodies])
    assert [reply.status for reply in replies] == [200, 500, 200]


@pytest.mark.parametrize("value", [{1, 2}, math.nan, [0.5, -math.inf]])
def test_what_cannot_be_written_as_json_is_a_500_with_the_form_of_every_error(predictor, monkeypatch, value):
    monkeypatch.setattr(predictor.task, "render", lambda request, results: {"translatedText": value})
    reply = ask(predictor, {"q": "a dog"})
    assert (reply.status, reply.body["code"]) == (500, "internal_error")
    assert json.loads(reply.content) == reply.body


@pytest.mark.parametrize("outcomes", [[], None])
def test_a_run_that_miscounts_or_raises_leaves_each_request_with_one_answer(predictor, monkeypatch, outcomes):
    monkeypatch.setattr(predictor, "run", lambda items, deadline: outcomes if outcomes is not None else 1 / 0)
    requests = [RawRequest(body=b'{"q": "a"}'), RawRequest(body=b"{"), RawRequest(body=b'{"q": "b"}')]
    assert [reply.status for reply in answer(predictor, requests)] == [500, 400, 500]
