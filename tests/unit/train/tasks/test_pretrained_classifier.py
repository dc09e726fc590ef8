import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dragoman.errors import DataError
from tests.toy_texts import SETTINGS, toy_texts
from train.config.compose import compose_config
from train.data.corpus import Splits
from train.tasks.text_classification.bert.vocabulary import TOKENIZER, train_tokenizer
from train.tasks.text_classification.task import TextClassification

TEXTS = toy_texts()
SPLITS = Splits(name="toy", train=TEXTS[::2], validation=TEXTS[1::6], tests={"test": TEXTS[3::6]})
FROM_SCRATCH = ("model=", "model.d", "model.num", "model.vocab")

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a BERT of one of transformers' classes with random weights; returns its folder."""
    import transformers

    def written(kind: str, **changes: Any) -> Path:
        tokenizer_json = train_tokenizer([text for text, _ in TEXTS], 120)
        config = transformers.BertConfig(
            vocab_size=120,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
            **changes,
        )
        torch.manual_seed(1)
        model = getattr(transformers, kind)(config)
        model.save_pretrained(tmp_path / "model")
        (tmp_path / "model" / TOKENIZER).write_bytes(tokenizer_json)
        return tmp_path / "model"

    return written


def made(folder: Path, *settings: str) -> tuple[TextClassification, Any]:
    fixed = [text for text in SETTINGS if not text.startswith(FROM_SCRATCH)]
    config = compose_config([*fixed, "data.path=none", "model=bert_base", f"model.path={folder}", *settings])
    task = TextClassification(config)
    return task, task.make_model(SPLITS, None)


def names(*labels: str) -> dict[str, Any]:
    return {"id2label": dict(enumerate(labels)), "label2id": {label: row for row, label in enumerate(labels)}}


@pytest.mark.parametrize("kind", ["BertModel", "BertForMaskedLM", "BertForPreTraining"])
def test_an_encoder_gets_a_new_head(write: Write, kind: str) -> None:
    import transformers

    folder = write(kind)
    task, model = made(folder)
    assert task.labels == ("animal", "fruit", "tool")
    assert model.classifier.out_features == 3
    theirs = getattr(transformers, kind).from_pretrained(folder)
    ours = model.bert.encoder.layer[1].output.dense.weight
    assert torch.equal(ours, getattr(theirs, "bert", theirs).encoder.layer[1].output.dense.weight)
    assert task.base_model is not None
    assert task.base_model.name == "model"


def test_a_head_for_the_same_labels_is_kept_in_its_own_order(write: Write) -> None:
    import transformers

    folder = write("BertForSequenceClassification", **names("tool", "animal", "fruit"))
    task, model = made(folder, "train.max_steps=0")
    assert task.labels == ("tool", "animal", "fruit")
    theirs = transformers.BertForSequenceClassification.from_pretrained(folder)
    assert torch.equal(model.classifier.weight, theirs.classifier.weight)


def test_a_head_without_names_is_kept_where_the_order_is_given(write: Write) -> None:
    folder = write("BertForSequenceClassification", num_labels=3)
    task, _ = made(folder, "train.max_steps=0", "classes.names=[tool,fruit,animal]")
    assert task.labels == ("tool", "fruit", "animal")
    with pytest.raises(DataError, match="has no classifier for the classes animal, fruit, tool"):
        made(folder, "train.max_steps=0")


def test_a_head_for_other_labels_is_replaced_or_refused_where_nothing_is_trained(write: Write) -> None:
    folder = write("BertForSequenceClassification", **names("good", "bad"))
    _, model = made(folder)
    assert model.classifier.out_features == 3
    with pytest.raises(DataError, match="no classifier for the classes animal, fruit, tool"):
        made(folder, "train.max_steps=0")


def test_frozen_layers_keep_their_weights_and_the_head_has_its_own_learning_rate(write: Write) -> None:
    task, model = made(write("BertModel"), "model.frozen_layers=1", "model.head_lr_scale=10")
    head, rest = task.parameter_groups(model)
    assert (head["lr_scale"], rest["lr_scale"]) == (10.0, 1.0)
    assert len(head["params"]) == 4
    trained = {id(parameter) for group in (head, rest) for parameter in group["params"]}
    frozen = {name for name, parameter in model.named_parameters() if id(parameter) not in trained}
    assert {name.rpartition(".layer.")[2].partition(".")[0] for name in frozen if ".layer." in name} == {"0"}
    assert any(name.startswith("bert.embeddings.") for name in frozen)


def change(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, **changes}), encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "settings", "message"),
    [
        ({"model_type": "gpt2"}, [], "a model of type 'gpt2'; text_classification takes bert"),
        ({"hidden_act": "mish"}, [], "hidden_act 'mish'; known are gelu"),
        ({"is_decoder": True}, [], "an encoder as BERT is needed"),
        ({"num_hidden_layers": 3}, [], "lacks weights that its config.json asks for"),
        ({}, ["windows.tokens=65"], r"windows.tokens is 65, but .* has 64 positions; set windows.tokens=64"),
        ({}, ["model.frozen_layers=3"], "model.frozen_layers is 3, but .* has 2 layers"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused_with_the_reason(
    write: Write, changes: dict[str, Any], settings: list[str], message: str
) -> None:
    folder = write("BertModel")
    change(folder, **changes)
    with pytest.raises(DataError, match=message):
        made(folder, *settings)


def test_a_folder_without_a_tokenizer_or_with_another_is_refused(write: Write) -> None:
    folder = write("BertModel")
    (folder / TOKENIZER).write_text('{"model": {}}', encoding="utf-8")
    with pytest.raises(DataError, match=r"tokenizer\.json"):
        made(folder)
    (folder / TOKENIZER).unlink()
    with pytest.raises(DataError, match=r"lacks tokenizer\.json"):
        made(folder)
