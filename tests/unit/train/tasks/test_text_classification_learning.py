from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from dragoman.errors import ConfigError
from tests.toy_texts import SETTINGS, toy_texts
from train.config.compose import compose_config
from train.data.corpus import Splits
from train.fitting.learner import TaskLearner
from train.tasks.text_classification.task import TextClassification

TEXTS = toy_texts()
SPLITS = Splits(name="toy", train=[*TEXTS[::2], *TEXTS[1:50:2]], validation=TEXTS[1::6], tests={"test": TEXTS[3::6]})


def made(*settings: str) -> tuple[TextClassification, Any]:
    task = TextClassification(compose_config([*SETTINGS, "data.path=none", *settings]))
    return task, task.make_model(SPLITS, None)


def batch_of(task: TextClassification, examples: Sequence[tuple[str, str]]) -> dict[str, torch.Tensor]:
    return task.collate(task.encode(examples), np.arange(len(examples)))


def seen_by(model: Any, task: TextClassification, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the ids that the model is given when the loss of a batch is computed."""
    seen: list[torch.Tensor] = []
    hook = model.bert.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    task.loss(model, batch, label_smoothing=0.0)
    hook.remove()
    return seen[0]


def test_the_labels_are_those_of_the_training_texts_in_order() -> None:
    task, _ = made()
    assert task.labels == ("animal", "fruit", "tool")
    assert [int(row) for row in task.encode(TEXTS[:1])["labels"]] == [task.labels.index(TEXTS[0][1])]
    given, _ = made("classes.names=[tool,fruit,animal]")
    assert given.labels == ("tool", "fruit", "animal")


def test_training_reads_the_beginning_of_a_text_and_masks_its_padding() -> None:
    task, _ = made()
    batch = batch_of(task, [("my dog " * 40, "animal"), ("my dog", "animal")])
    assert batch["input_ids"].shape == (2, 24)
    assert batch["attention_mask"].sum(dim=1).tolist() == [24, 2 + len(task.tokenizer.encode("my dog"))]
    assert batch["input_ids"][0, -1] == task.tokenizer.sep_id


def test_tokens_are_masked_in_training_alone_and_never_the_special_ones() -> None:
    task, model = made("model.masked_tokens=0.9")
    batch = batch_of(task, TEXTS[::30])
    ids, inside = batch["input_ids"], batch["attention_mask"] == 1
    special = (ids == task.tokenizer.cls_id) | (ids == task.tokenizer.sep_id)
    masked = seen_by(model.train(), task, batch) == task.mask_id
    assert not (masked & (special | ~inside)).any()
    assert masked[inside & ~special].float().mean() > 0.7
    assert torch.equal(seen_by(model.eval(), task, batch), ids)


def test_the_masks_follow_the_seed_of_the_step() -> None:
    task, model = made("model.masked_tokens=0.5")
    batch = batch_of(task, TEXTS[::30])
    drawn = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        drawn.append(seen_by(model.train(), task, batch))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize(("weights", "power"), [("none", 0.0), ("sqrt", 0.5), ("balanced", 1.0)])
def test_classes_weigh_by_their_frequency_and_the_training_texts_one_in_the_mean(weights: str, power: float) -> None:
    task, _ = made(f"classes.weights={weights}")
    counts = [sum(label == name for _, label in SPLITS.train) for name in task.labels]
    found = task.weights.tolist()
    assert sum(weight * count for weight, count in zip(found, counts, strict=True)) == pytest.approx(len(SPLITS.train))
    assert found[1] / found[0] == pytest.approx((counts[0] / counts[1]) ** power)


def test_a_class_weighs_in_a_batch_of_its_own_too_and_not_in_a_validation() -> None:
    settings = ("model.masked_tokens=0", "model.dropout=0")
    task, model = made(*settings, "classes.weights=balanced")
    row = int(task.weights.argmax())
    batch = batch_of(task, [example for example in TEXTS if example[1] == task.labels[row]][:4])
    plain = task.loss(model.eval(), batch, label_smoothing=0.0).item()
    weighted = task.loss(model.train(), batch, label_smoothing=0.0).item()
    assert weighted == pytest.approx(plain * task.weights[row].item())


def test_outputs_are_the_probabilities_of_all_labels_the_highest_first() -> None:
    task, model = made()
    with torch.no_grad():
        outputs = task.outputs(model.eval(), batch_of(task, TEXTS[::60]))
        model.classifier.weight.zero_()
        equal = task.outputs(model, batch_of(task, TEXTS[:1]))
    for output in outputs:
        assert set(output) == set(task.labels)
        assert list(output.values()) == sorted(output.values(), reverse=True)
        assert sum(output.values()) == pytest.approx(1.0)
    assert tuple(equal[0]) == task.labels


def test_a_validation_has_the_figures_of_the_task() -> None:
    task, model = made("train.validation_samples=20")
    figures = TaskLearner(task, SPLITS, task.config.train).validate(model)
    assert set(figures) == set(task.figures()) == {"loss", "macro-f1", "accuracy", "ece"}
    assert task.objective() == "macro-f1"


def test_the_temperature_is_fitted_to_whole_texts_and_goes_into_the_options() -> None:
    task, model = made()
    with torch.no_grad():
        model.classifier.weight.mul_(40)
    long = [(text * 8, label) for text, label in SPLITS.validation]
    figures = task.finish(model, long)
    assert figures["calibration/ece_after"] < figures["calibration/ece_before"]
    assert task.options() == {
        "labels": task.labels,
        "window_tokens": 24,
        "overlap_tokens": 6,
        "temperature": figures["calibration/temperature"],
    }
    assert task.temperature > 2


def test_settings_that_contradict_each_other_are_told_together() -> None:
    with pytest.raises(ConfigError) as caught:
        compose_config([*SETTINGS, "data.path=none", "windows.overlap=22", "model.num_heads=3"])
    assert "windows.overlap must be less than 22" in str(caught.value)
    assert "model.d_model must be a multiple of model.num_heads, 3, got 32" in str(caught.value)


def test_other_weights_of_the_classes_need_no_other_corpus() -> None:
    plain, weighted, named = (
        compose_config([*SETTINGS, "data.path=none", setting]).corpus_settings()
        for setting in ("classes.weights=none", "classes.weights=balanced", "classes.unknown=drop")
    )
    assert plain == weighted != named
