"""The benchmark of image classification: the files it sends and in which form, its peers, and its targets."""

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image
from safetensors.torch import save_file

from benchmarks.image_classification.exchanges import BOUNDARY, file_for_scores, file_to_ours, form_for_scores
from benchmarks.image_classification.outputs import quality
from benchmarks.image_classification.peers.timm_classifier import TimmClassifier
from benchmarks.image_classification.photos import photo
from benchmarks.image_classification.targets import DECODING, ONNX, TORCH, targets
from benchmarks.serving.comparison import BENTO, MAR
from benchmarks.serving.load_generator import Load, Stream
from dragoman.items.multipart import split_parts
from dragoman.tasks.image_classification.decoding import decode
from dragoman.tasks.image_classification.options import Preprocessing
from dragoman.tasks.image_classification.task import ImageClassification
from train.tasks.torchvision_pair import pair_torchvision


def test_photos_are_jpeg_files_of_real_detail_each_with_its_own_pixels() -> None:
    files = [photo(number, width=500, height=375) for number in range(8)]

    assert {(image.format, image.size) for image in map(Image.open, map(io.BytesIO, files))} == {("JPEG", (500, 375))}
    assert len(set(files)) == len(files)
    assert 20_000 < sum(map(len, files)) / len(files) < 120_000
    assert photo(3, width=500, height=375) == files[3]


def test_a_photo_may_be_larger_than_those_it_is_made_of() -> None:
    assert Image.open(io.BytesIO(photo(0, width=1500, height=1100))).size == (1500, 1100)


def test_a_load_reaches_its_generator_with_every_byte() -> None:
    stream = Stream(name="all", bodies=(bytes(range(256)), b""), clients=2)
    load = Load(url="http://127.0.0.1/", content_type="image/jpeg", streams=(stream,), ramp_s=0, seconds=1)

    assert Load.from_json(load.to_json()) == load


def test_our_servers_get_the_file_itself_and_answer_one_list() -> None:
    exchange = file_to_ours(ImageClassification)

    assert exchange.body(b"\xff\xd8") == b"\xff\xd8"
    assert exchange.output(json.dumps([{"label": "a", "score": 0.7, "model": "m:1"}])) == {"a": 0.7}


@pytest.mark.parametrize(("is_list", "reply"), [(False, '{"a": 0.7}'), (True, '[{"a": 0.7}]')])
def test_a_form_holds_the_file_as_it_is(is_list: bool, reply: str) -> None:
    file, exchange = bytes(range(256)) * 3, form_for_scores("image", is_list=is_list)

    (part,) = split_parts(exchange.body(file), exchange.content_type)

    assert (part.name, part.content) == ("image", file)
    assert exchange.output(reply) == {"a": 0.7}
    assert BOUNDARY.encode() not in file


def test_outputs_are_alike_in_their_best_label_and_differ_by_its_probability() -> None:
    ours = {0: {"a": 0.9, "b": 0.1}, 1: {"a": 0.6, "b": 0.4}, 2: {"b": 1.0}}
    theirs = {0: file_for_scores().output('{"a": 0.89, "b": 0.11}'), 1: {"b": 0.5, "a": 0.5}}

    assert quality(theirs, (), ours) == pytest.approx({"agreement": 50.0, "difference": 10.0})
    assert quality(theirs, (), {}) == {}


def test_timm_sees_the_pixels_that_ours_sees_and_answers_its_best_labels(tmp_path: Path) -> None:
    labels = [f"class {number}" for number in range(7)]
    preprocessing = Preprocessing(height=64, width=64, crop_share=0.95)
    (tmp_path / "manifest.json").write_text(
        json.dumps({"options": {"labels": labels, "preprocessing": asdict(preprocessing)}}), encoding="utf-8"
    )
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"architecture": "test_resnet"}', encoding="utf-8")
    pair_torchvision()
    import timm

    network = timm.create_model("test_resnet", num_classes=len(labels))
    save_file(network.state_dict(), tmp_path / "model" / "model.safetensors")
    file = photo(1, width=90, height=120)

    classifier = TimmClassifier(tmp_path)
    seen = classifier.read(file)
    (output,) = classifier.classify([seen])

    pixels = decode(file, preprocessing, max_pixels=100_000)
    ours = numpy.frombuffer(pixels, dtype=numpy.uint8).reshape(64, 64, 3).transpose(2, 0, 1) / 255
    mean, std = (numpy.reshape(three, (3, 1, 1)) for three in (preprocessing.mean, preprocessing.std))
    assert numpy.abs(seen.numpy() - (ours - mean) / std).max() < 1e-5
    assert len(output) == 5
    assert list(output.values()) == sorted(output.values(), reverse=True)


def _server(per_s: float, **more: Any) -> dict[str, Any]:
    return {"closed": {"1": {"p50_ms": 40.0}, "32": {"requests_per_s": per_s}}, **more}


def test_peers_that_compute_one_by_one_must_be_passed_by_half_and_batching_ones_by_a_third() -> None:
    servers = {
        BENTO: _server(50.0),
        MAR: _server(45.0),
        "TorchServe, one by one": _server(32.0, agreement=100.0),
        "BentoML, batches": _server(40.0, agreement=98.9),
    }
    limits = {
        ONNX: {"requests_per_s": 55.0},
        TORCH: {"requests_per_s": 40.0},
        DECODING: {"requests_per_s": 500.0, "p50_ms": 4.0},
    }

    found = {target.name: (target.value, target.met) for target in targets(servers, limits)}

    assert found[f"{BENTO}: images/s over TorchServe, one by one, 32 clients"] == (1.56, True)
    assert found[f"{MAR}: images/s over TorchServe, one by one, 32 clients"] == (1.41, False)
    assert found[f"{BENTO}: images/s over BentoML, batches, 32 clients"] == (1.25, False)
    assert found["TorchServe, one by one: labels as ours, %"] == (100.0, True)
    assert found["BentoML, batches: labels as ours, %"] == (98.9, False)
    assert found["BentoML, one by one: labels as ours, %"] == (None, None)
    assert found[f"{ONNX} over {TORCH}"] == (1.38, True)
    assert found[f"{BENTO}: share of decoding in a request's time, 1 client, %"] == (10.0, True)
    assert found[f"{BENTO}: share of decoding in a request's time, 32 clients, %"] == (10.0, True)
