import asyncio
import base64
import contextlib
import dataclasses
import json
import re
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy
import pytest

import dragoman
from dragoman.batching.batcher import MicroBatcher
from dragoman.bundle.model_card import model_card
from dragoman.bundle.store import Bundle, open_bundle
from dragoman.errors import BundleError, InvalidInput
from dragoman.http import openapi
from dragoman.http.protocol import Reply, answer, answer_with
from dragoman.items.bodies import Part, RawRequest
from dragoman.items.outcomes import Failure, Result
from dragoman.predictor import Predictor, answer_all
from dragoman.tasks.classification import probabilities
from dragoman.tasks.image_classification import task as task_module
from dragoman.tasks.image_classification.decoding import decode, mirrored, pixels
from dragoman.tasks.image_classification.options import Options, Preprocessing
from dragoman.tasks.image_classification.task import ImageClassification
from tests.tiny_images import LABELS, SIDE, encoded, random_pictures, write_tiny_images

PICTURES = random_pictures(6)
PNG, JPEG, WEBP = (encoded(PICTURES[place], file_format=kind) for place, kind in enumerate(("PNG", "JPEG", "WEBP")))
WIDE = encoded(random_pictures(1, width=40, height=20)[0], width=40, height=20)
LARGE = encoded(bytes(200 * 201 * 3), width=201, height=200)
KINDS = "send a JPEG, a PNG or a WebP, 8 bits a colour, one frame"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def predictor(bundle: Path) -> Iterator[Predictor]:
    predictor = dragoman.load(bundle, engine="onnxruntime", device="cpu")
    yield predictor
    predictor.close()


@pytest.fixture(scope="module")
def averaging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    """The same network, with the averages of images and their mirror images."""
    bundle = write_tiny_images(tmp_path_factory.mktemp("averaging"), average_mirrored=True)
    predictor = dragoman.load(bundle, engine="onnxruntime", device="cpu")
    yield predictor
    predictor.close()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def ask(predictor: Predictor, body: Any, content_type: str | None = None) -> Reply:
    """Ask with bytes as they are, anything else as JSON."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    (reply,) = answer(predictor, [RawRequest(body=sent, content_type=content_type)])
    return reply


def body_of(reply: Reply) -> Any:
    assert reply.status == 200
    return reply.body


class TestBodies:
    @pytest.mark.parametrize("data", [PNG, JPEG, WEBP, WIDE])
    def test_an_image_is_answered_with_its_labels(self, predictor: Predictor, data: bytes) -> None:
        entries = body_of(ask(predictor, data))
        assert sorted(entry["label"] for entry in entries) == sorted(LABELS)
        scores = [entry["score"] for entry in entries]
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) == pytest.approx(1)
        identity = f"tiny-images:{predictor.bundle.manifest.version}"
        assert all(entry["model"] == identity and list(entry) == ["label", "score", "model"] for entry in entries)

    @pytest.mark.parametrize(
        "content_type",
        [
            None,
            "image/png",
            "image/jpeg",
            "application/octet-stream",
            "application/x-www-form-urlencoded",
            "application/json",
            "multipart/form-data",
            "text/plain; charset=utf-8",
            "nonsense",
        ],
    )
    def test_an_image_is_known_by_its_bytes_whatever_the_header_says(
        self, predictor: Predictor, content_type: str | None
    ) -> None:
        assert ask(predictor, PNG, content_type) == ask(predictor, PNG)

    @pytest.mark.parametrize("content_type", [None, "application/json", "text/plain", "image/png", "application/x-y"])
    def test_json_is_known_by_its_first_bytes(self, predictor: Predictor, content_type: str | None) -> None:
        body = b"\n " + json.dumps({"inputs": b64(PNG)}).encode()
        assert ask(predictor, body, content_type) == ask(predictor, PNG)

    def test_base64_is_an_image_also_as_a_url(self, predictor: Predictor) -> None:
        expected = ask(predictor, JPEG)
        assert ask(predictor, {"inputs": b64(JPEG)}) == expected
        assert ask(predictor, {"inputs": f"data:image/jpeg;base64,{b64(JPEG)}"}) == expected
        assert ask(predictor, {"inputs": f"data:;base64,{b64(JPEG)}"}) == expected

    def test_a_list_is_answered_with_a_list_for_each_image(self, predictor: Predictor) -> None:
        together = ask(predictor, {"inputs": [b64(PNG), b64(JPEG), b64(WIDE)]})
        assert together.body == [ask(predictor, data).body for data in (PNG, JPEG, WIDE)]
        assert ask(predictor, {"inputs": [b64(PNG)]}).body == [ask(predictor, PNG).body]

    def test_a_form_holds_one_file(self, predictor: Predictor) -> None:
        body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + PNG + b"\r\n--x--\r\n"
        expected = ask(predictor, PNG)
        assert ask(predictor, body, "multipart/form-data; boundary=x") == expected
        part = Part(name="data", content=PNG)
        assert answer(predictor, [RawRequest(parts=[part])]) == [expected]
        for parts in ([], [part, part]):
            (reply,) = answer(predictor, [RawRequest(parts=parts)])
            assert (reply.status, reply.error["code"]) == (400, "invalid_input")
            assert f"the form must hold one file alone, got {len(parts)} parts" in reply.error["error"]

    def test_top_k_gives_the_first_of_all_labels(self, predictor: Predictor) -> None:
        everything = body_of(ask(predictor, PNG))
        for top_k in range(1, len(LABELS) + 1):
            body = {"inputs": b64(PNG), "parameters": {"top_k": top_k, "function_to_apply": "softmax"}}
            assert ask(predictor, body).body == everything[:top_k]

    @pytest.mark.parametrize("parameters", [None, {}, {"top_k": None, "function_to_apply": None}])
    def test_what_is_left_out_or_null_is_the_default(self, predictor: Predictor, parameters: Any) -> None:
        assert ask(predictor, {"inputs": b64(PNG), "parameters": parameters}) == ask(predictor, PNG)


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "message", "field"),
        [
            ([b64(PNG)], 'the body must be a JSON object such as {"inputs": "base64"}, got a list', None),
            ({}, 'inputs is missing; send {"inputs": …}', "inputs"),
            (
                {"inputs": b64(PNG), "top_k": 1},
                'unknown field "top_k"; accepted are inputs, parameters; put top_k into parameters',
                "top_k",
            ),
            (
                {"inputs": b64(PNG), "parameters": {"size": 1}},
                'unknown field "parameters.size"; accepted are top_k, function_to_apply',
                "parameters.size",
            ),
            (
                {"inputs": "https://example.org/cat.jpg"},
                "inputs: this is an address, and nothing is fetched from one; send the bytes of the file in base64",
                "inputs",
            ),
            ({"inputs": 7}, "inputs must be an image or a list of images in base64, got a number", "inputs"),
            ({"inputs": [b64(PNG), None]}, "inputs[1] must be an image in base64, got null", "inputs[1]"),
            ({"inputs": []}, "inputs must hold 1 to 8 inputs, got 0; give at least one", "inputs"),
            ({"inputs": ["a"] * 9}, "inputs must hold 1 to 8 inputs, got 9; send several requests", "inputs"),
            (
                {"inputs": [b64(PNG), b64(PNG), b64(PNG), b64(PNG)[:-3]]},
                "inputs[3]: this is not base64; encode the bytes of the file, without line breaks",
                "inputs[3]",
            ),
            (
                {"inputs": "data:image/png," + b64(PNG)},
                "inputs: the data: URL is not in base64; write data:image/jpeg;base64, before the data",
                "inputs",
            ),
            (
                {"inputs": b64(PNG), "parameters": {"top_k": 5}},
                "parameters.top_k must be a whole number from 1 to 4, the number of labels, got 5",
                "parameters.top_k",
            ),
            (
                {"inputs": b64(PNG), "parameters": {"function_to_apply": "sigmoid"}},
                'parameters.function_to_apply must be "softmax", since an image has one label, got "sigmoid"',
                "parameters.function_to_apply",
            ),
        ],
    )
    def test_bad_json_is_told_what_is_wrong(
        self, predictor: Predictor, body: Any, message: str, field: str | None
    ) -> None:
        reply = ask(predictor, body)
        expected = {"error": message, "code": "invalid_input"}
        assert (reply.status, reply.body) == (400, expected if field is None else {**expected, "field": field})

    @pytest.mark.parametrize(
        "text",
        [b64(PNG)[:40] + "\n" + b64(PNG)[40:], b64(PNG) + "=", "äöü", "a b", "_-__", b64(PNG) + "====AAAA", "=" * 9],
    )
    def test_base64_is_taken_strictly(self, predictor: Predictor, text: str) -> None:
        reply = ask(predictor, {"inputs": [b64(PNG), text]})
        assert reply.error["field"] == "inputs[1]"
        assert "inputs[1]: this is not base64" in reply.error["error"]

    @pytest.mark.parametrize(
        ("data", "status", "code", "message"),
        [
            (b"GIF89a" + bytes(99), 415, "unsupported_image", f"this is no image of a kind that is accepted; {KINDS}"),
            (PNG[:-3], 422, "damaged_image", "the image is damaged: it ends too early; send the whole file"),
            (
                LARGE,
                413,
                "image_too_large",
                "the image has 201x200 pixels, the limit is 40000 together; send a smaller one",
            ),
            (b"", 415, "unsupported_image", f"there is no image, nothing was sent; {KINDS}"),
        ],
    )
    def test_a_bad_image_has_its_code_and_in_json_its_field(
        self, predictor: Predictor, data: bytes, status: int, code: str, message: str
    ) -> None:
        alone, listed = ask(predictor, data), ask(predictor, {"inputs": [b64(PNG)] * 3 + [b64(data)]})
        assert (alone.status, alone.body) == (status, {"error": message, "code": code})
        expected = {"error": f"inputs[3]: {message}", "code": code, "field": "inputs[3]"}
        assert (listed.status, listed.body) == (status, expected)
        assert ask(predictor, {"inputs": b64(data)}).error["field"] == "inputs"

    def test_the_pixels_of_a_request_are_limited_together(self, predictor: Predictor) -> None:
        # Of 150x100 pixels, which compress to less than a hundred bytes.
        flat = encoded(bytes(15_000 * 3), width=150, height=100)
        assert ask(predictor, {"inputs": [b64(flat)] * 2}).status == 200
        reply = ask(predictor, {"inputs": [b64(flat)] * 3})
        assert (reply.status, reply.error["code"], reply.error["field"]) == (413, "image_too_large", "inputs[2]")
        assert reply.error["error"] == (
            "inputs[2]: it takes the images of this request beyond 40000 pixels, the limit of all together; "
            "send several requests"
        )

    def test_json_that_is_none_is_told_so(self, predictor: Predictor) -> None:
        for body, content_type in ((b'{"inputs": ', None), (b"hello", "application/json"), (b"{\xff", "image/png")):
            reply = ask(predictor, body, content_type)
            assert (reply.status, reply.error["code"]) == (400, "malformed_json")

    def test_a_bad_request_harms_no_other_of_its_batch(self, predictor: Predictor) -> None:
        bodies = [PNG, PNG[:-3], JPEG, b"GIF89a", json.dumps({"inputs": b64(WEBP)}).encode(), LARGE]
        replies = answer(predictor, [RawRequest(body=body) for body in bodies])
        assert [reply.status for reply in replies] == [200, 422, 200, 415, 200, 413]
        assert replies[::2][:2] == [ask(predictor, PNG), ask(predictor, JPEG)]


class TestImages:
    def test_the_network_sees_the_pixels_that_training_sees(self, predictor: Predictor) -> None:
        seen = predictor.task.options.preprocessing
        for data in (PNG, JPEG, WEBP, WIDE):
            prepared = predictor.task.prepare(data)
            assert prepared.items == (decode(data, seen, max_pixels=40_000),)
        assert predictor.task.prepare(PNG).items == (PICTURES[0],)

    def test_a_mirror_image_counts_as_much_as_the_image(self, averaging: Predictor) -> None:
        task = averaging.task
        prepared = task.prepare(PNG)
        assert prepared.items == (PICTURES[0], mirrored(PICTURES[0], task.options.preprocessing))
        rows = [outcome.value for outcome in averaging.run(prepared.items) if isinstance(outcome, Result)]
        assert rows[0] != rows[1]
        expected = numpy.mean([probabilities(row, temperature=task.options.temperature) for row in rows], axis=0)
        (found,) = averaging([PNG])
        assert isinstance(found, Result)
        assert task.output(found.value) == pytest.approx(dict(zip(LABELS, expected, strict=True)), abs=1e-15)

    def test_an_image_and_its_mirror_image_get_one_answer_where_they_are_averaged(self, averaging: Predictor) -> None:
        turned = encoded(mirrored(PICTURES[0], Preprocessing(height=SIDE, width=SIDE)))
        one, other = (body_of(ask(averaging, data)) for data in (PNG, turned))
        assert [entry["label"] for entry in one] == [entry["label"] for entry in other]
        assert [entry["score"] for entry in one] == pytest.approx([entry["score"] for entry in other], abs=1e-15)

    @pytest.mark.parametrize("bad", [[PNG], [], {}, None, 7, "not base64", b"", b"no image"])
    def test_an_item_that_is_no_image_harms_no_other(self, predictor: Predictor, bad: Any) -> None:
        refused, good = predictor([bad, PNG])
        assert isinstance(refused, Failure)
        assert isinstance(refused.error, InvalidInput)
        assert isinstance(good, Result)

    def test_outputs_are_all_probabilities_by_label_and_nothing_for_a_refused_image(self, predictor: Predictor) -> None:
        full, none = answer_all(predictor, [PNG, b""]).plain
        assert (sorted(full), none) == (sorted(LABELS), {})
        assert list(full.values()) == sorted(full.values(), reverse=True)
        body = ask(predictor, ImageClassification.request_for([PNG])).body
        assert ImageClassification.outputs_of(body) == [full]
        row = ImageClassification.row(ask(predictor, ImageClassification.request_for(PNG)).body)
        label, score = next(iter(full.items()))
        assert row == {"label": label, "score": score, "scores": json.dumps(full)}
        assert ImageClassification.line(full) == f"{label}\t{score:.4f}"

    def test_samples_name_an_image_by_its_kind_and_size(self) -> None:
        shown = ImageClassification.sample(WIDE, "cat", {"dog": 0.123456, "cat": 0.1})
        described = f"40x20 PNG, {len(WIDE)} bytes"
        assert shown == {"image": described, "reference": "cat", "label": "dog", "score": 0.1235}
        refused = ImageClassification.sample(PNG[:-3], "cat", {})
        assert refused == {
            "image": f"damaged_image, {len(PNG) - 3} bytes",
            "reference": "cat",
            "label": None,
            "score": None,
        }
        assert json.dumps([shown, refused])

    def test_the_example_is_an_image(self, predictor: Predictor) -> None:
        predictor.warm_up()
        assert ImageClassification.sample(ImageClassification.example_item, None, {})["image"] == "8x8 PNG, 82 bytes"


class TestOnAnEventLoop:
    def test_images_are_decoded_in_another_thread(self, predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
        task = predictor.task
        seen: list[bool] = []

        def parse(payload: Any) -> Any:
            seen.append(threading.current_thread() is threading.main_thread())
            return type(task).parse(task, payload)

        async def ask_in_loop() -> list[Reply]:
            batcher = MicroBatcher(
                predictor.computing.batch, batch_key=task.batch_key, size=task.size, capacity=task.capacity
            )
            bodies = [RawRequest(body=PNG), RawRequest(parts=[Part(name="file", content=PNG)])]
            with ThreadPoolExecutor(2) as parsing:
                replies = await asyncio.gather(
                    *(answer_with(batcher, predictor, raw, parse_in=parsing) for raw in bodies)
                )
            await batcher.close()
            return list(replies)

        expected = ask(predictor, PNG)
        monkeypatch.setattr(task, "parse", parse)
        assert asyncio.run(ask_in_loop()) == [expected, expected]
        assert seen == [False, False]


class TestMemory:
    @pytest.mark.parametrize(("image", "at_once"), [(WIDE, 1), (PNG, 2)])
    def test_large_images_are_decoded_one_at_a_time(
        self, image: bytes, at_once: int, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        most, both_in = 1, threading.Barrier(2)

        def counted(*given: Any, **limits: Any) -> bytes:
            nonlocal most
            # The two meet, unless one of them waits before it.
            with contextlib.suppress(threading.BrokenBarrierError):
                both_in.wait(0.5)
                most = 2
            return pixels(*given, **limits)

        monkeypatch.setattr(task_module, "pixels", counted)
        monkeypatch.setattr(task_module, "LARGE_PIXELS", SIDE * SIDE)
        with ThreadPoolExecutor(2) as threads:
            replies = list(threads.map(lambda body: ask(predictor, body), [image] * 2))
        assert {reply.status for reply in replies} == {200}
        assert most == at_once


class TestDescriptions:
    def test_the_openapi_page_shows_the_bodies_and_the_answers_that_are_real(self, predictor: Predictor) -> None:
        document = openapi.document(predictor.bundle.manifest)
        post = document["paths"]["/classify"]["post"]
        content = post["requestBody"]["content"]
        assert set(content) == {"application/json", "image/*", "application/octet-stream", "multipart/form-data"}
        binary = {"type": "string", "format": "binary"}
        assert content["image/*"]["schema"] == binary
        assert content["multipart/form-data"]["schema"]["properties"] == {"file": binary}
        answers = post["responses"]["200"]["content"]["application/json"]["examples"]
        for name, example in content["application/json"]["examples"].items():
            reply = ask(predictor, example["value"])
            assert reply.status == 200
            assert len(reply.body) == len(answers[name]["value"])
        assert list(answers["image"]["value"][0]) == list(body_of(ask(predictor, PNG))[0])
        inputs = document["components"]["schemas"]["Request"]["properties"]["inputs"]
        assert "of 40000 pixels together at most" in inputs["description"]
        one, several = document["components"]["schemas"]["Response"]["items"]["oneOf"]
        assert one["properties"]["label"]["enum"] == list(LABELS)
        assert several["items"] == one
        codes = document["components"]["schemas"]["Error"]["properties"]["code"]["enum"]
        assert {"unsupported_image", "image_too_large", "damaged_image"} <= set(codes)

    def test_the_card_names_labels_and_what_becomes_of_an_image(self, predictor: Predictor) -> None:
        text = model_card(predictor.bundle.manifest)
        assert "pipeline_tag: image-classification" in text
        assert f"classifies images by 4 labels ({', '.join(LABELS)})" in text
        assert "of 40000 pixels at most. It is resized, and its middle cut out, to 16x16 pixels" in text
        assert "b'" not in text

    def test_a_row_of_a_table_holds_an_image_file(self, predictor: Predictor) -> None:
        columns = ImageClassification.columns(predictor.bundle.manifest)
        assert columns.inputs == {"inputs": "binary"}
        assert columns.outputs == {"label": "string", "score": "double", "scores": "string"}

    def test_only_models_of_the_same_labels_do_the_same_work(self, predictor: Predictor) -> None:
        manifest = predictor.bundle.manifest

        def work(*labels: str) -> str:
            options = {**manifest.options, "labels": list(labels)}
            return ImageClassification.work(dataclasses.replace(manifest, options=options))

        assert work("a", "b") == work("b", "a") == 'image_classification by "a", "b"'
        assert work("a", "b") != work("a", "c")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (("a",), "labels must be two different ones or more, got a"),
        (("a", "b", "a"), "got a, b, a"),
        (("a", " "), "labels must be words that can be printed"),
    ],
)
def test_labels_that_cannot_be_told_apart_are_refused(labels: tuple[str, ...], message: str) -> None:
    options = Options(labels=("a", "b"), preprocessing=Preprocessing(height=1, width=1))
    assert options.problem() is None
    assert message in str(dataclasses.replace(options, labels=labels).problem())


@pytest.mark.parametrize("classes", [5, None, "4"])
def test_a_network_of_another_number_of_classes_is_refused(bundle: Path, tmp_path: Path, classes: Any) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(bundle, copy)
    config = copy / "model" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "num_classes": classes}))
    # Its digests nobody has checked.
    with pytest.raises(BundleError, match=f"num_classes is {classes!r}, and the manifest has 4 labels"):
        ImageClassification(Bundle(copy, open_bundle(bundle).manifest), engine="onnxruntime", device="cpu")


def test_a_bundle_holds_no_file_that_a_classifier_does_not_need() -> None:
    allowed = re.compile(ImageClassification.files)
    assert allowed.fullmatch("model/config.json")
    assert allowed.fullmatch("engines/onnx/model.onnx")
    for name in ("engines/onnx/model.onnx.data", "engines/onnx/other.onnx", "model/model.pth", "model/modeling.py"):
        assert not allowed.fullmatch(name)


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        (b"GIF89a\x01\x00\x01\x00", 415, "unsupported_image", "no image of a kind that is accepted"),
        (b"", 415, "unsupported_image", "nothing was sent"),
        (b"top_k=2&inputs=abc", 415, "unsupported_media_type", "sent as a form"),
    ],
)
def test_what_curl_calls_a_form_is_refused_for_what_it_is(
    predictor: Predictor, body: bytes, status: int, code: str, says: str
) -> None:
    (reply,) = answer(predictor, [RawRequest(body=body, content_type="application/x-www-form-urlencoded")])
    assert (reply.status, reply.error["code"]) == (status, code)
    assert says in reply.error["error"]
