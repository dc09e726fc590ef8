import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dragoman.errors import ConfigError
from train.config.compose import compose_config
from train.data.corpus import Splits
from train.fitting.learner import TaskLearner
from train.tasks.image_classification.networks.cnn import make_cnn, whitening_weights
from train.tasks.image_classification.task import ImageClassification

SETTINGS = ["task=image_classification", "model.widths=[8,8,8]", "images.height=16", "train.max_steps=5"]


def picture(label: str, number: int) -> tuple[bytes, str]:
    """Draw a picture of stripes in one direction or the other."""
    chooser = np.random.default_rng(number)
    stripes = np.tile(chooser.integers(0, 256, (16, 1, 3), dtype=np.uint8), (1, 16, 1))
    file = io.BytesIO()
    Image.fromarray(stripes if label == "across" else stripes.transpose(1, 0, 2)).save(file, format="png")
    return file.getvalue(), label


EXAMPLES = [picture(label, number) for number in range(20) for label in ("down", "across")]
SPLITS = Splits(name="toy", train=EXAMPLES[:30], validation=EXAMPLES[30:], tests={"test": EXAMPLES[:2]})


def made(*settings: str) -> tuple[ImageClassification, Any]:
    task = ImageClassification(compose_config([*SETTINGS, *settings]))
    torch.manual_seed(1)
    return task, task.make_model(SPLITS, None)


def batch_of(task: ImageClassification, count: int) -> dict[str, torch.Tensor]:
    return task.collate(task.encode(EXAMPLES[:count]), np.arange(count))


def seen_by(model: Any, task: ImageClassification, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the pixels that the model is given when the loss of a batch is computed."""
    seen: list[torch.Tensor] = []
    hook = model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    task.loss(model, batch, label_smoothing=0.0)
    hook.remove()
    return seen[0]


def test_a_batch_has_the_pixels_of_its_rows_and_the_rows_of_their_labels() -> None:
    task, _ = made()
    encoded = task.encode(EXAMPLES)
    batch = task.collate(encoded, np.array([5, 0]))
    assert task.made.labels == ("across", "down")
    assert batch["pixels"].dtype == torch.uint8
    assert batch["pixels"].shape == (2, 16, 16, 3)
    assert np.array_equal(batch["pixels"][0].numpy(), encoded["pixels"][5])
    assert batch["labels"].tolist() == [0, 1]
    # Decoded once, and not copied for the corpus.
    again = task.encode(EXAMPLES[:1])["pixels"][0]
    assert np.shares_memory(again, encoded["pixels"][0])


def test_images_are_changed_in_training_alone() -> None:
    task, model = made("augment.mirror=true", "augment.shift=3")
    batch = batch_of(task, 30)
    assert not torch.equal(seen_by(model.train(), task, batch), batch["pixels"])
    assert torch.equal(seen_by(model.eval(), task, batch), batch["pixels"])


def test_a_batch_of_one_image_trains_and_leaves_the_running_statistics_alone() -> None:
    task, model = made()
    before = {name: value.clone() for name, value in model.state_dict().items() if "running" in name}
    task.loss(model.train(), batch_of(task, 1), label_smoothing=0.1).backward()
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    assert model.network.head.weight.grad.abs().max() > 0


def test_the_first_convolution_takes_the_correlation_out_of_patches_and_stays_as_it_is() -> None:
    task, model = made()
    weight = model.network.whitening.weight
    assert not weight.requires_grad
    assert not any(weight is other for group in task.parameter_groups(model) for other in group["params"])
    # Noise whose neighbours have half in common, in colours that have as well.
    noise = np.random.default_rng(3).uniform(0, 255, (40, 20, 20, 3))
    smooth = (noise[:, 1:, 1:] + noise[:, :-1, 1:] + noise[:, 1:, :-1] + noise[..., ::-1][:, 1:, 1:]) / 4
    pixels, middle, scale = smooth.astype(np.uint8), (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)
    filters = whitening_weights(pixels, middle, scale)
    values = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - 0.5) / 0.2
    found = torch.nn.functional.conv2d(values, filters).permute(1, 0, 2, 3).flatten(1)
    assert torch.equal(found[:12], -found[12:])
    covariance = (found[:12] @ found[:12].T / found.shape[1]).numpy()
    assert np.abs(covariance - np.eye(12)).max() < 0.03
    assert torch.equal(filters, whitening_weights(pixels, middle, scale))


@pytest.mark.parametrize("side", [16, 23, 64])
def test_our_network_takes_pictures_of_any_size_from_sixteen_pixels(side: int) -> None:
    network = make_cnn((8, 16, 8), 3, "relu", whitening=None).eval()
    assert network(torch.zeros(2, 3, side, side + 1)).shape == (2, 3)


def test_outputs_are_averaged_with_those_of_the_mirror_image() -> None:
    task, model = made("average_mirrored=true")
    model.eval()
    batch = batch_of(task, 6)
    with torch.no_grad():
        loss, outputs = task.loss_and_outputs(model, batch)
        mirrored = {**batch, "pixels": batch["pixels"].flip(2)}
        assert float(loss) == float(task.loss(model, batch, label_smoothing=0.0))
        for one, other in zip(outputs, task.outputs(model, mirrored), strict=True):
            assert one == pytest.approx(other)
        logits = [model(each["pixels"]).double() for each in (batch, mirrored)]
    expected = sum(torch.softmax(rows, dim=1) for rows in logits) / 2
    assert [outputs[0][label] for label in task.made.labels] == pytest.approx(expected[0].tolist())


def test_validation_gives_the_figures_of_the_task() -> None:
    task, model = made()
    figures = TaskLearner(task, SPLITS, task.config.train).validate(model)
    assert figures.keys() == {"loss", "accuracy", "macro-f1", "ece"}


def test_the_temperature_is_that_of_validation_images_as_they_are_served() -> None:
    task, model = made("average_mirrored=true")
    found = task.finish(model, SPLITS.validation)
    assert task.options()["temperature"] == task.temperature == found["calibration/temperature"]
    assert found.keys() == {"calibration/temperature", "calibration/ece_before", "calibration/ece_after"}


def test_biases_and_normalisations_do_not_decay() -> None:
    task, model = made()
    groups = task.parameter_groups(model)
    names = {id(weight): name for name, weight in model.named_parameters()}
    decaying = {names[id(weight)] for group in groups if "weight_decay" not in group for weight in group["params"]}
    assert all(name.endswith("weight") for name in decaying)
    assert {name for name, weight in model.named_parameters() if weight.ndim > 1 and weight.requires_grad} == decaying


@pytest.mark.parametrize(
    ("settings", "size"),
    [([], (16, 16)), (["images.height=20"], (20, 20)), (["images.height=20", "images.width=30"], (20, 30))],
)
def test_the_corpus_tells_the_size_and_the_colours_that_settings_leave_open(
    settings: list[str], size: tuple[int, int]
) -> None:
    fixed = [setting for setting in SETTINGS if not setting.startswith("images")]
    task = ImageClassification(compose_config([*fixed, *settings]))
    task.make_model(SPLITS, None)
    preprocessing = task.made.preprocessing
    assert (preprocessing.height, preprocessing.width) == size
    assert preprocessing.mean == pytest.approx((0.5, 0.5, 0.5), abs=0.1)


def test_a_search_sees_pixels_of_the_size_that_a_training_sees() -> None:
    # Most images of the corpus as it is read are copies of a larger one, which cleaning leaves out.
    file = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(file, format="png")
    fixed = [setting for setting in SETTINGS if not setting.startswith("images")]
    training, trial = (ImageClassification(compose_config(fixed)) for _ in range(2))
    copies = [(file.getvalue() + bytes(number), "down") for number in range(1, 50)]
    read = Splits(name="toy", train=[*EXAMPLES[:30], *copies], validation=EXAMPLES[30:], tests={"test": EXAMPLES[:2]})
    corpus = training.clean(read)
    assert len(corpus.splits.train) < 32
    for task in (training, trial):
        task.make_model(corpus.splits, None)
        assert task.made.preprocessing.height == 16


def test_a_shift_by_more_than_an_image_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"augment\.shift must be less than the 16 pixels of an image's side, got 16"):
        made("augment.shift=16")
    task, model = made("augment.shift=15")
    seen_by(model.train(), task, batch_of(task, 30))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.widths=[8,8]", r"model\.widths must be 3 numbers of maps, such as \[32,64,128\], got \[8, 8\]"),
        ("model.activation=tanh", r"model\.activation must be one of gelu, relu, silu"),
    ],
)
def test_settings_that_make_no_network_are_named(setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compose_config([*SETTINGS, setting])


def test_grey_pictures_are_whitened_in_full_precision_where_the_rest_is_trained_in_half() -> None:
    grey = np.repeat(np.random.default_rng(1).integers(0, 256, (64, 4, 4, 1), dtype=np.uint8), 3, axis=3)
    # Neighbours that are alike, as in every picture.
    pixels = grey.repeat(4, axis=1).repeat(4, axis=2)
    mean, std = [pixels.mean() / 255] * 3, [pixels.std() / 255] * 3
    torch.manual_seed(1)
    network = make_cnn([8, 8, 8], 2, "relu", whitening=whitening_weights(pixels, mean, std))
    given = ((torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean[0]) / std[0]).float()
    seen: list[torch.Tensor] = []
    network.activation.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].float()))
    with torch.no_grad():
        network(given)
        with torch.autocast("cpu", torch.bfloat16):
            assert network.groups(network.activation(network.whitening(given))).dtype == torch.bfloat16
            network(given)
    full, half, served = seen[0], seen[1], seen[2]
    # Colours that grey pictures do not have: noise of half precision, where there is nothing.
    assert (half - full).abs().max() > 0.1
    assert torch.equal(served, full)
