import asyncio
import dataclasses
import itertools
import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dragoman
from dragoman.batching.batcher import MicroBatcher
from dragoman.bundle.model_card import model_card
from dragoman.bundle.store import Bundle, open_bundle
from dragoman.errors import BundleError, InvalidInput
from dragoman.http import openapi
from dragoman.http.protocol import Reply, answer, answer_with
from dragoman.items.bodies import RawRequest
from dragoman.items.outcomes import Failure, Result
from dragoman.predictor import Predictor, answer_all
from dragoman.tasks.classification import Classification, classify
from dragoman.tasks.text_classification.options import Options
from dragoman.tasks.text_classification.task import TextClassification
from dragoman.tasks.text_classification.windows import cut_windows
from tests.tiny_classifier import LABELS

TEXT = "The man sees the red car."
LONG = "The old teacher brings two tickets to the station, please. " * 30


@pytest.fixture(scope="module")
def predictor(tiny_classifier: Path) -> Iterator[Predictor]:
    predictor = dragoman.load(tiny_classifier, engine="ctranslate2", device="cpu")
    yield predictor
    predictor.close()


def ask(predictor: Predictor, body: Any) -> Reply:
    (reply,) = answer(predictor, [RawRequest(body=json.dumps(body).encode())])
    return reply


class TestWindows:
    @given(st.integers(0, 60), st.integers(3, 12), st.data())
    def test_every_token_is_read_and_counts_once(self, count: int, window_tokens: int, data: st.DataObject) -> None:
        overlap = data.draw(st.integers(0, window_tokens - 3))
        content = list(range(10, 10 + count))
        windows = cut_windows(content, cls_id=1, sep_id=2, window_tokens=window_tokens, overlap_tokens=overlap)
        joined: list[int] = []
        for window in windows:
            first, *inner, last = window.ids
            assert (first, last) == (1, 2)
            assert len(window.ids) <= window_tokens
            joined += inner[len(inner) - window.new_tokens :] if inner else []
        assert joined == content
        # All windows but the last are full, and share as many tokens with the next one as was asked for.
        assert all(len(window.ids) == window_tokens for window in windows[:-1])
        for before, after in itertools.pairwise(windows):
            shared = len(after.ids) - 2 - after.new_tokens
            assert shared == overlap
            assert before.ids[-1 - shared : -1] == after.ids[1 : 1 + shared]

    def test_a_text_that_fits_is_one_window(self) -> None:
        ((ids, weight),) = cut_windows([7, 8, 9], cls_id=1, sep_id=2, window_tokens=5, overlap_tokens=2)
        assert (ids, weight) == ((1, 7, 8, 9, 2), 3)

    def test_a_text_without_tokens_is_a_window_of_the_special_ones(self) -> None:
        assert cut_windows([], cls_id=1, sep_id=2, window_tokens=5, overlap_tokens=2) == [((1, 2), 1)]


class TestProbabilities:
    def test_they_are_averaged_by_the_weights_of_the_windows(self) -> None:
        first, second = numpy.exp([2.0, 0.0]), numpy.exp([0.0, 1.0])
        expected = 3 / 4 * first / first.sum() + 1 / 4 * second / second.sum()
        found = classify([(4.0, 0.0), (0.0, 2.0)], (3, 1), labels=("a", "b"), temperature=2.0)
        assert found.label == "a"
        assert dict(found.scores) == pytest.approx({"a": expected[0], "b": expected[1]}, abs=1e-15)

    def test_they_are_in_descending_order_and_ties_in_that_of_the_labels(self) -> None:
        found = classify([(0.0, 1.0, 0.0, 1.0)], (5,), labels=("d", "c", "b", "a"), temperature=1.0)
        assert [label for label, _ in found.scores] == ["c", "a", "d", "b"]

    def test_large_logits_give_probabilities(self) -> None:
        found = classify([(1000.0, -1000.0)], (1,), labels=("a", "b"), temperature=0.01)
        assert found == Classification((("a", 1.0), ("b", 0.0)))


class TestRequests:
    def test_a_text_and_a_list_are_answered_with_a_list_for_each_text(self, predictor: Predictor) -> None:
        alone, together = ask(predictor, {"inputs": TEXT}), ask(predictor, {"inputs": [TEXT, LONG]})
        assert alone.body == together.body[:1]
        identity = f"tiny-news:{predictor.bundle.manifest.version}"
        for entries in together.body:
            assert sorted(entry["label"] for entry in entries) == sorted(LABELS)
            scores = [entry["score"] for entry in entries]
            assert scores == sorted(scores, reverse=True)
            assert sum(scores) == pytest.approx(1)
            assert {entry["model"] for entry in entries} == {identity}
            assert all(list(entry) == ["label", "score", "model"] for entry in entries)

    def test_top_k_gives_the_first_of_all_labels(self, predictor: Predictor) -> None:
        everything = ask(predictor, {"inputs": [TEXT, LONG]}).body
        for top_k in range(1, len(LABELS) + 1):
            some = ask(predictor, {"inputs": [TEXT, LONG], "parameters": {"top_k": top_k}}).body
            assert some == [entries[:top_k] for entries in everything]

    @pytest.mark.parametrize(
        ("count", "parameters", "in_thread"), [(30, {}, False), (60, {}, True), (60, {"top_k": 1}, False)]
    )
    def test_an_answer_of_many_labels_is_not_made_on_the_event_loop(
        self, predictor: Predictor, monkeypatch: pytest.MonkeyPatch, count: int, parameters: Any, in_thread: bool
    ) -> None:
        body = {"inputs": [f"The man sees {number}." for number in range(count)], "parameters": parameters}
        raw, task = RawRequest(body=json.dumps(body).encode()), predictor.task
        seen: list[bool] = []

        def render(request: Any, results: Any) -> Any:
            seen.append(threading.current_thread() is not threading.main_thread())
            return type(task).render(task, request, results)

        async def ask_in_loop() -> Reply:
            batcher = MicroBatcher(
                predictor.computing.batch, batch_key=task.batch_key, size=task.size, capacity=task.capacity
            )
            with ThreadPoolExecutor(1) as parsing:
                reply = await answer_with(batcher, predictor, raw, parse_in=parsing)
            await batcher.close()
            return reply

        (expected,) = answer(predictor, [raw])
        monkeypatch.setattr(task, "render", render)
        assert asyncio.run(ask_in_loop()) == expected
        assert seen == [in_thread]

    @pytest.mark.parametrize("parameters", [None, {}, {"top_k": None}, {"function_to_apply": "softmax", "top_k": 4}])
    def test_what_is_left_out_or_null_is_the_default(self, predictor: Predictor, parameters: Any) -> None:
        assert ask(predictor, {"inputs": TEXT, "parameters": parameters}) == ask(predictor, {"inputs": TEXT})

    def test_plain_text_is_an_input(self, predictor: Predictor) -> None:
        (reply,) = answer(predictor, [RawRequest(body=TEXT.encode(), content_type="text/plain")])
        assert reply == ask(predictor, {"inputs": TEXT})

    @pytest.mark.parametrize(
        ("body", "message", "field"),
        [
            ([TEXT], 'the body must be a JSON object such as {"inputs": "text"}, got a list', None),
            ({}, 'inputs is missing; send {"inputs": …}', "inputs"),
            (
                {"inputs": TEXT, "top_k": 1},
                'unknown field "top_k"; accepted are inputs, parameters; put top_k into parameters',
                "top_k",
            ),
            (
                {"inputs": TEXT, "parameters": {"truncation": True}},
                'unknown field "parameters.truncation"; accepted are top_k, function_to_apply',
                "parameters.truncation",
            ),
            ({"inputs": 7}, "inputs must be a text or a list of texts, got a number", "inputs"),
            ({"inputs": [TEXT, 7]}, "inputs[1] must be text, got a number", "inputs[1]"),
            ({"inputs": [TEXT, " "]}, "inputs[1] is empty; give a text to classify", "inputs[1]"),
            ({"inputs": []}, "inputs must hold 1 to 128 inputs, got 0; give at least one", "inputs"),
            ({"inputs": ["a"] * 129}, "inputs must hold 1 to 128 inputs, got 129; send several requests", "inputs"),
            (
                {"inputs": TEXT, "parameters": {"top_k": 5}},
                "parameters.top_k must be a whole number from 1 to 4, the number of labels, got 5",
                "parameters.top_k",
            ),
            (
                {"inputs": TEXT, "parameters": {"function_to_apply": "sigmoid"}},
                'parameters.function_to_apply must be "softmax", since a text has one label, got "sigmoid"',
                "parameters.function_to_apply",
            ),
        ],
    )
    def test_bad_ones_are_told_what_is_wrong(
        self, predictor: Predictor, body: Any, message: str, field: str | None
    ) -> None:
        reply = ask(predictor, body)
        expected = {"error": message, "code": "invalid_input"}
        assert (reply.status, reply.body) == (400, expected if field is None else {**expected, "field": field})

    @pytest.mark.parametrize(
        ("inputs", "message"),
        [
            ("a" * 200_000, "inputs has 200000 characters, the limit is 150000; split it into shorter texts"),
            (
                ["a" * 100_000, "b" * 100_000],
                "inputs[1] takes the texts of this request beyond 150000 characters, the limit of all together; "
                "send several requests",
            ),
        ],
    )
    def test_texts_that_are_too_long_are_refused_with_their_size(
        self, predictor: Predictor, inputs: Any, message: str
    ) -> None:
        reply = ask(predictor, {"inputs": inputs})
        assert (reply.status, reply.error["code"], reply.error["error"]) == (413, "text_too_long", message)


class TestTexts:
    def test_the_end_of_a_long_text_counts(self, predictor: Predictor) -> None:
        one, other = predictor([LONG, LONG + "An umbrella, please! " * 20])
        assert isinstance(one, Result)
        assert isinstance(other, Result)
        assert one != other

    def test_a_long_text_is_the_average_of_its_windows(self, predictor: Predictor) -> None:
        prepared = predictor.task.prepare(LONG)
        assert len(prepared.items) > 3
        outcomes = predictor.run(prepared.items)
        logits = numpy.array([outcome.value for outcome in outcomes if isinstance(outcome, Result)])
        raised = numpy.exp(logits / predictor.task.options.temperature)
        expected = numpy.average(raised / raised.sum(axis=1, keepdims=True), axis=0, weights=prepared.weights)
        (found,) = predictor([LONG])
        assert isinstance(found, Result)
        assert predictor.task.output(found.value) == pytest.approx(dict(zip(LABELS, expected, strict=True)), abs=1e-12)

    def test_a_bad_text_harms_no_other(self, predictor: Predictor) -> None:
        good, bad, again = predictor([TEXT, "\t", TEXT])
        assert isinstance(bad, Failure)
        assert isinstance(bad.error, InvalidInput)
        assert good == again
        assert isinstance(good, Result)

    @pytest.mark.parametrize("bad", [[TEXT, TEXT], [TEXT], [], {}, None, 7, b"bytes"])
    def test_an_item_that_is_no_text_harms_no_other(self, predictor: Predictor, bad: Any) -> None:
        refused, good = predictor([bad, TEXT])
        assert isinstance(refused, Failure)
        assert isinstance(refused.error, InvalidInput)
        assert isinstance(good, Result)

    def test_outputs_are_all_probabilities_by_label_and_nothing_for_a_refused_text(self, predictor: Predictor) -> None:
        outputs = answer_all(predictor, [TEXT, ""])
        full, none = outputs.plain
        assert (sorted(full), none) == (sorted(LABELS), {})
        assert list(full.values()) == sorted(full.values(), reverse=True)
        assert TextClassification.outputs_of(ask(predictor, {"inputs": [TEXT]}).body) == [full]
        assert TextClassification.sample(TEXT, "earn", full) == {
            "text": TEXT,
            "reference": "earn",
            "label": next(iter(full)),
            "score": round(next(iter(full.values())), 4),
        }
        assert TextClassification.sample("", "earn", none)["label"] is None


class TestDescriptions:
    def test_the_openapi_page_shows_lists_that_the_answers_have(self, predictor: Predictor) -> None:
        manifest = predictor.bundle.manifest
        document = openapi.document(manifest)
        post = document["paths"]["/classify"]["post"]
        assert post["operationId"] == "classify"
        assert set(post["requestBody"]["content"]) == {
            "application/json",
            "text/plain",
            "application/x-www-form-urlencoded",
        }
        schema = document["components"]["schemas"]["Response"]
        assert schema["items"]["items"]["properties"]["label"]["enum"] == list(LABELS)
        entries = post["responses"]["200"]["content"]["application/json"]["examples"]
        real = ask(predictor, {"inputs": TEXT}).body
        for example in entries.values():
            assert list(example["value"][0][0]) == list(real[0][0])
        for name, example in post["requestBody"]["content"]["application/json"]["examples"].items():
            reply = ask(predictor, example["value"])
            assert reply.status == 200
            assert [*map(len, reply.body)] == [*map(len, entries[name]["value"])]
        assert document["components"]["schemas"]["Error"]["properties"]["field"]["example"] == "inputs[3]"
        inputs = document["components"]["schemas"]["Request"]["properties"]["inputs"]
        assert "of 150000 characters together at most" in inputs["description"]
        assert "One list for each text" in post["responses"]["200"]["description"]

    def test_the_card_names_labels_and_windows(self, predictor: Predictor) -> None:
        text = model_card(predictor.bundle.manifest)
        assert "pipeline_tag: text-classification" in text
        assert f"classifies texts by 4 labels ({', '.join(LABELS)})" in text
        assert "more than 48 tokens is read in windows that share 12 tokens" in text

    def test_only_models_of_the_same_labels_do_the_same_work(self, predictor: Predictor) -> None:
        manifest = predictor.bundle.manifest

        def work(*labels: str) -> str:
            options = {**manifest.options, "labels": list(labels)}
            return TextClassification.work(dataclasses.replace(manifest, options=options))

        assert work("a", "b") == work("b", "a") == 'text_classification by "a", "b"'
        assert work("a", "b") != work("a", "c")
        assert work("a, b", "c") != work("a", "b, c")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ("a",)}, "labels must be two different ones or more, got a"),
        ({"labels": ()}, "got none"),
        ({"labels": ("a", "b", "a")}, "got a, b, a"),
        ({"labels": ("a", " ")}, "labels must be words that can be printed"),
        ({"labels": ("a", "b\tc")}, r"got 'a', 'b\tc'"),
        ({"overlap_tokens": 46}, "overlap_tokens must be less than window_tokens without its 2 special tokens, got 46"),
    ],
)
def test_options_that_do_not_go_together_are_told(change: dict[str, Any], message: str) -> None:
    options = Options(labels=("a", "b"), window_tokens=48, overlap_tokens=12)
    assert options.problem() is None
    assert message in str(dataclasses.replace(options, **change).problem())


@pytest.mark.parametrize(
    ("file", "edit", "message"),
    [
        ("config.json", {"vocab_size": 10}, "vocab_size is 10, and [0-9]+ are needed"),
        ("config.json", {"max_position_embeddings": 20}, "max_position_embeddings is 20, and 48 are needed"),
        ("config.json", {"id2label": {"0": "acq", "1": "earn"}}, "id2label differs from the labels of the manifest"),
        ("config.json", {"id2label": None}, "id2label differs from the labels of the manifest"),
        ("config.json", {"id2label": list(LABELS)}, "id2label differs from the labels of the manifest"),
    ],
)
def test_a_model_that_does_not_fit_its_bundle_is_refused_before_it_answers(
    tiny_classifier: Path, tmp_path: Path, file: str, edit: dict[str, Any], message: str
) -> None:
    bundle = edited(tiny_classifier, tmp_path, lambda config: {**config, **edit})
    with pytest.raises(BundleError, match=f"config.json does not fit the bundle: {message}"):
        TextClassification(bundle, engine="ctranslate2", device="cpu")


def edited(source: Path, folder: Path, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> Bundle:
    """Copy a bundle with another configuration of its model, whose digests nobody has checked."""
    copy = folder / "bundle"
    shutil.copytree(source, copy)
    config = copy / "model" / "config.json"
    config.write_text(json.dumps(edit(json.loads(config.read_text()))))
    return Bundle(copy, open_bundle(source).manifest)


def test_a_bundle_holds_no_file_that_a_classifier_does_not_need(tiny_classifier: Path) -> None:
    allowed = re.compile(TextClassification.files)
    for name in ("model/tokenizer.json", "model/vocab.txt", "engines/ct2-int8/head.safetensors"):
        assert allowed.fullmatch(name)
    for name in ("model/spiece.model", "model/pytorch_model.bin", "engines/ct2-int8/head.bin", "model/modeling.py"):
        assert not allowed.fullmatch(name)
