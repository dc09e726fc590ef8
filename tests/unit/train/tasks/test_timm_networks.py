import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file

from dragoman.errors import ConfigError, DataError, UnavailableError
from dragoman.tasks.image_classification.options import Preprocessing
from train.config.compose import compose_config
from train.config.imports import compose_import
from train.data import hub
from train.data.corpus import Splits
from train.data.pretrained import require_family
from train.tasks.image_classification.networks.classifier import Classifier, write_network
from train.tasks.image_classification.networks.export import export_graph
from train.tasks.image_classification.networks.settings import TimmModel
from train.tasks.image_classification.networks.timm_networks import make_network
from train.tasks.image_classification.networks.weights import find_source, import_timm, read_source
from train.tasks.image_classification.task import ImageClassification

LABELS = ("ant", "bee", "cow")
# The smallest of timm's, which it has for tests.
TINY = "test_efficientnet"


def settings(**given: Any) -> TimmModel:
    plain: dict[str, Any] = {
        "kind": "timm", "name": "x", "architecture": None, "path": None, "revision": None, "stem": None,
        "dropout": 0.0, "head_lr_scale": 1.0,
    }  # fmt: skip
    return TimmModel(**{**plain, **given})


def made(architecture: str, side: int = 32, **given: Any) -> Any:
    torch.manual_seed(1)
    source = find_source(settings(architecture=architecture))
    return make_network(source, LABELS, Preprocessing(height=side, width=side), has_head=False, **given)


def same_weights(one: Any, other: Any) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a network with its small stem, written as a run does."""
    found = tmp_path_factory.mktemp("timm")
    write_network(made(TINY, stem="small"), found)
    return found


@pytest.mark.parametrize(
    ("architecture", "stem"), [("resnet18", "conv1"), ("test_resnet", "conv1.0"), ("regnety_002", "stem.conv")]
)
def test_a_small_stem_keeps_full_resolution(architecture: str, stem: str) -> None:
    network = made(architecture, stem="small").network
    first = network.get_submodule(stem)
    assert (first.kernel_size, first.stride) == ((3, 3), (1, 1))
    usual, small = (
        network.forward_features(torch.zeros(1, 3, 32, 32)).shape[-1]
        for network in (made(architecture).network.eval(), network.eval())
    )
    assert small >= 2 * usual


def test_a_stem_that_is_no_convolution_of_stride_two_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"test_vit begins with one of 16x16 and stride 16: set model\.stem=imagenet"):
        made("test_vit", 160, stem="small")


def test_an_unknown_architecture_is_told_with_those_near_it() -> None:
    with pytest.raises(ConfigError, match=r"timm has no 'resnt18'; near it are resnet18, "):
        find_source(settings(architecture="resnt18"))


def test_a_size_that_the_network_cannot_see_is_told_before_training() -> None:
    with pytest.raises(ConfigError, match=r"cannot see pictures of 8x8 pixels .*; set images\.height"):
        made("densenet121", 8)


def test_what_was_written_is_read_back_with_its_size_and_its_stem(folder: Path) -> None:
    source = read_source(folder, None)
    assert (source.labels, source.stem) == (LABELS, "small")
    again = make_network(source, LABELS, Preprocessing(height=32, width=32), has_head=True)
    assert same_weights(again.network, made(TINY, stem="small").network)
    for size in (160, 96):
        vit = made("test_vit", size)
        write_network(vit, folder.parent)
        read = make_network(read_source(folder.parent, None), LABELS, vit.preprocessing, has_head=True)
        assert same_weights(vit.network, read.network)


def test_weights_of_another_size_of_pictures_are_converted_by_timm(tmp_path: Path) -> None:
    write_network(made("test_vit", 160), tmp_path)
    smaller = make_network(read_source(tmp_path, None), LABELS, Preprocessing(height=64, width=64), has_head=True)
    assert smaller.network(torch.zeros(1, 3, 64, 64)).shape == (1, 3)
    assert smaller.config()["model_args"] == {"img_size": [64, 64]}


def test_the_head_is_kept_in_its_order_for_the_same_labels_and_exchanged_for_others(folder: Path) -> None:
    source = read_source(folder, None)
    assert source.head_labels(("cow", "ant", "bee"), named=False) == LABELS
    assert source.head_labels(("cow", "ant", "dog"), named=True) is None
    other = make_network(source, ("dog", "cat"), Preprocessing(height=32, width=32), has_head=False)
    assert other.network(torch.zeros(1, 3, 32, 32)).shape == (1, 2)
    stem = "conv_stem.weight"
    assert torch.equal(other.network.state_dict()[stem], load_file(folder / "model.safetensors")[stem])


def test_one_file_of_weights_needs_its_architecture_and_tells_its_classes(tmp_path: Path) -> None:
    write_network(made(TINY), tmp_path)
    file = tmp_path / "model.safetensors"
    with pytest.raises(ConfigError, match=r"holds weights alone: give model\.architecture as well"):
        find_source(settings(path=str(file)))
    source = find_source(settings(path=str(file), architecture=TINY))
    assert (source.num_classes, source.labels) == (3, None)
    assert source.base_model is not None
    assert (source.base_model.name, source.base_model.revision) == ("model.safetensors", None)
    read = make_network(source, LABELS, Preprocessing(height=32, width=32), has_head=True)
    assert same_weights(read.network, made(TINY).network)
    with pytest.raises(DataError, match=r"timm cannot make test_resnet from .*model\.safetensors: "):
        make_network(
            find_source(settings(path=str(file), architecture="test_resnet")),
            LABELS,
            Preprocessing(height=32, width=32),
            has_head=False,
        )


def test_a_checkpoint_without_a_weight_is_refused_and_not_filled_up(folder: Path, tmp_path: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["conv_stem.weight"]
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text((folder / "config.json").read_text("utf-8"), encoding="utf-8")
    with pytest.raises(DataError, match="does not fit a test_efficientnet"):
        make_network(read_source(tmp_path, None), LABELS, Preprocessing(height=32, width=32), has_head=False)


def test_weights_of_imagenet_know_their_thousand_classes(tmp_path: Path) -> None:
    config = {"architecture": "resnet18", "num_classes": 1000, "pretrained_cfg": {}}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    labels = read_source(tmp_path, None).labels
    assert labels is not None
    assert len(set(labels)) == 1000
    assert labels[0] == "tench, Tinca tinca"


def import_task(folder: Path, *given: str) -> ImageClassification:
    fixed = ["task=image_classification", f"model.path={folder}", "tracking.enabled=false"]
    return ImageClassification(compose_import([*fixed, *given]))


def test_an_import_takes_names_and_preprocessing_from_the_checkpoint(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    # As timm writes it on the hub, with what describes a label beside it.
    del config["model_type"]
    config["label_descriptions"] = {"ant": "an insect", "bee": "an insect", "cow": "cattle"}
    config["pretrained_cfg"] |= {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "crop_pct": 0.875}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    require_family(tmp_path, "image_classification")
    with pytest.raises(DataError, match="it is one for task=image_classification"):
        require_family(tmp_path, "text_classification")
    task = import_task(tmp_path)
    task.import_model()
    options = task.options()
    assert options["labels"] == ("an insect (ant)", "an insect (bee)", "cattle")
    assert options["preprocessing"]["mean"] == (0.1, 0.2, 0.3)
    assert options["preprocessing"]["crop_share"] == 0.875
    named = import_task(tmp_path, "classes.names=[x,y,z]")
    named.import_model()
    assert named.options()["labels"] == ("x", "y", "z")
    with pytest.raises(DataError, match=r"classes\.names has 2 names, but .* has 3 classes"):
        import_task(tmp_path, "classes.names=[x,y]").import_model()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_args": {"in_chans": 1}}, r"pictures of 1 colours \(in_chans\)"),
        ({"pretrained_cfg": {"input_size": [4, 32, 32]}}, r"pictures of 4 colours \(in_chans\)"),
        ({"label_names": ["a", "b"]}, r"names 2 labels for 3 classes \(num_classes\); correct it"),
        ({"pretrained_cfg": {"crop_pct": 1.15}}, r"no server makes: crop_share must be between 0\.1 and 1, got 1\.15"),
        ({"pretrained_cfg": {"mean": [0.5]}}, "no server makes: mean and std must be three numbers each"),
    ],
)
def test_what_no_server_could_do_for_a_checkpoint_is_told_before_anything_is_computed(
    folder: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    for name, value in changes.items():
        config[name] = {**config[name], **value} if isinstance(value, dict) else value
    (tmp_path / "model.safetensors").symlink_to(folder / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    given = ["task=image_classification", f"model.path={tmp_path}", "classes.names=[a,b,c]"]
    with pytest.raises(DataError, match=message):
        ImageClassification(compose_import(given)).import_model()


def test_an_import_without_names_asks_for_them(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    del config["label_names"]
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(DataError, match=r"no names for its 3 classes, .*classes\.names=\[a,b,…\]"):
        import_task(tmp_path).import_model()


def test_training_from_weights_takes_their_colours_and_scales_the_learning_rate_of_the_head(folder: Path) -> None:
    given = ["model=timm", f"model.path={folder}", "images.mean=[0.1,0.1,0.1]", "images.std=[0.2,0.2,0.2]"]
    task = ImageClassification(compose_config(["task=image_classification", *given, "train.max_steps=1"]))
    splits = Splits(name="x", train=[(b"", "dog"), (b"", "cat")], validation=[], tests={})
    task._images([])
    assert task.decoded is not None
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    task.decoded.pixels = lambda images: [pixels] * len(images)  # type: ignore[method-assign]
    model = task.make_model(splits, None)
    assert task.made.labels == ("cat", "dog")
    assert task.base_model is not None
    scales = {group["lr_scale"] for group in task.parameter_groups(model)}
    assert scales == {1.0, 10.0}
    zero = ImageClassification(compose_config(["task=image_classification", *given, "train.max_steps=0"]))
    zero._images([])
    assert zero.decoded is not None
    zero.decoded.pixels = lambda images: [pixels] * len(images)  # type: ignore[method-assign]
    with pytest.raises(DataError, match=r"has no head for the classes cat, dog, and train\.max_steps=0"):
        zero.make_model(splits, None)


def test_without_a_hub_the_message_says_how_to_give_a_local_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert hub.TIMEOUT_SECONDS <= 6
    with pytest.raises(UnavailableError, match=r"model\.path=DIRECTORY with config\.json, model\.safetensors"):
        find_source(settings(path="timm/resnet18.a1_in1k"))


def test_the_graph_of_a_network_gives_its_logits_whatever_the_batch(folder: Path, tmp_path: Path) -> None:
    preprocessing = Preprocessing(height=32, width=32)
    network = make_network(read_source(folder, None), LABELS, preprocessing, has_head=True).network
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.normal_(module.running_mean, std=0.2)
    classifier = Classifier(network, preprocessing)
    for name in ("one.onnx", "two.onnx"):
        export_graph(classifier, preprocessing, tmp_path / name, labels=3)
    written = (tmp_path / "one.onnx").read_bytes()
    assert written == (tmp_path / "two.onnx").read_bytes()
    assert b"/train/" not in written
    assert b".py" not in written
    session = onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(1).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    (found,) = session.run(None, {"pixels": pixels})
    with torch.no_grad():
        expected = classifier(torch.from_numpy(pixels)).numpy()
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    (alone,) = session.run(None, {"pixels": pixels[3:4]})
    assert np.abs(alone - expected[3:4]).max() < 1e-4 * np.abs(expected).max()


class Odd(torch.nn.Module):
    """A network with an operation that ONNX lacks."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(pixels.mean(dim=(1, 2, 3)))[:, None].expand(-1, 3)


def test_a_network_that_cannot_be_exported_is_refused_with_the_operator(tmp_path: Path) -> None:
    preprocessing = Preprocessing(height=8, width=8)
    with pytest.raises(DataError, match=r"cannot be exported to ONNX: .*bessel_j0"):
        export_graph(Classifier(Odd(), preprocessing), preprocessing, tmp_path / "odd.onnx", labels=3)


def test_a_folder_that_timm_saved_with_all_arguments_of_its_network_is_read(tmp_path: Path) -> None:
    timm = import_timm()
    torch.manual_seed(1)
    saved = timm.create_model(TINY, num_classes=3, drop_rate=0.1)
    timm.models.save_for_hf(saved, tmp_path, model_config={"label_names": list(LABELS)}, safe_serialization=True)
    config = json.loads((tmp_path / "config.json").read_text())
    config["model_args"] = {"num_classes": 3, "in_chans": 3, "drop_rate": 0.1, **config.get("model_args", {})}
    (tmp_path / "config.json").write_text(json.dumps(config))
    source = read_source(tmp_path, None)
    assert source.labels == LABELS
    read = make_network(source, LABELS, Preprocessing(height=32, width=32), has_head=True)
    assert same_weights(read.network, saved)
    config["model_args"]["in_chans"] = 1
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match=r"pictures of 1 colours \(in_chans\)"):
        read_source(tmp_path, None)


def test_weights_of_another_architecture_than_the_one_named_are_refused_with_both_ways_out(folder: Path) -> None:
    with pytest.raises(DataError, match=r"leave model\.architecture=null, or set model\.path=null for random weights"):
        find_source(settings(path=str(folder), architecture="resnet18"))
