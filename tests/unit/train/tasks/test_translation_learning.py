from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dragoman.errors import DataError
from dragoman.tasks.translation.options import Languages
from dragoman.text.tokenizer import Tokenizer
from tests.toy_corpus import toy_pairs
from train.config.compose import compose_config
from train.data.corpus import Splits
from train.fitting.learner import TaskLearner
from train.tasks.translation.model import parameter_groups, t5_config
from train.tasks.translation.task import IGNORED, Translation
from train.tasks.translation.vocabulary import train_vocabulary, write_tokenizer_files

PAIRS = toy_pairs()
SPLITS = Splits(name="toy", train=PAIRS[:40], validation=PAIRS[40:60], tests={"test": PAIRS[60:]})
SMALL = ["model.d_model=16", "model.d_kv=4", "model.d_ff=16", "model.num_layers=1", "model.num_decoder_layers=1"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    vocabulary = train_vocabulary([text for pair in PAIRS for text in pair], 90)
    return write_tokenizer_files(tmp_path_factory.mktemp("vocabulary"), vocabulary)


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> Any:
    from transformers import T5ForConditionalGeneration

    torch.manual_seed(0)
    return T5ForConditionalGeneration(t5_config(compose_config(SMALL).model, tokenizer.size)).eval()


def learner_of(tokenizer: Tokenizer, *settings: str) -> TaskLearner:
    fixed = ["train.label_smoothing=0", "train.validation_samples=5", "train.batch_units=256", "train.seed=1"]
    config = compose_config([*SMALL, *fixed, *settings])
    task = Translation(config)
    task.tokenizer = tokenizer
    return TaskLearner(task, SPLITS, config.train)


def test_the_decoder_sees_the_labels_one_step_late(tokenizer: Tokenizer) -> None:
    batch = learner_of(tokenizer).batch(np.array([0, 1, 2]))
    for labels, inputs in zip(batch["labels"].tolist(), batch["decoder_input_ids"].tolist(), strict=True):
        real = [token for token in labels if token != IGNORED]
        assert real == [*tokenizer.encode(tokenizer.decode(real)), 1]
        assert inputs[: len(real)] == [0, *real[:-1]]


def test_the_mask_marks_every_token_and_the_units_count_both_sides(tokenizer: Tokenizer) -> None:
    rows = np.arange(6)
    learner = learner_of(tokenizer)
    batch = learner.batch(rows)
    sources, targets = ([[*tokenizer.encode(pair[side]), 1] for pair in PAIRS[:6]] for side in (0, 1))
    assert batch["attention_mask"].sum(1).tolist() == [len(ids) for ids in sources]
    counted = learner.units(rows)
    assert counted.real == sum(map(len, [*sources, *targets]))
    assert counted.padded == batch["input_ids"].numel() + batch["labels"].numel()


def test_padding_does_not_change_the_loss(tokenizer: Tokenizer, model: Any) -> None:
    learner = learner_of(tokenizer)
    rows = np.arange(8)
    together = float(learner.loss(model, learner.batch(rows)).detach())
    alone = [learner.batch(rows[index : index + 1]) for index in range(8)]
    tokens = [int((batch["labels"] != IGNORED).sum()) for batch in alone]
    losses = [float(learner.loss(model, batch).detach()) for batch in alone]
    assert together == pytest.approx(float(np.average(losses, weights=tokens)), abs=1e-5)


def test_the_prefix_stands_before_every_source(tokenizer: Tokenizer) -> None:
    batch = learner_of(tokenizer, "model.prefix='today. '").batch(np.array([3]))
    assert batch["input_ids"][0].tolist() == [*tokenizer.encode("today. " + PAIRS[3][0]), 1]


def test_pairs_with_too_many_tokens_are_left_out_and_counted(tokenizer: Tokenizer) -> None:
    lengths = [max(len(tokenizer.encode(text)) + 1 for text in pair) for pair in PAIRS[:40]]
    limit = sorted(lengths)[20]
    learner = learner_of(tokenizer, f"cleaning.max_tokens={limit}")
    assert learner.size == sum(length <= limit for length in lengths)
    assert learner.size + learner.too_long == 40
    with pytest.raises(DataError, match="all 40 training examples are longer than 2 tokens"):
        learner_of(tokenizer, "cleaning.max_tokens=2")


def test_validation_repeats_and_leaves_no_gradient(tokenizer: Tokenizer, model: Any) -> None:
    learner = learner_of(tokenizer)
    figures = learner.validate(model)
    assert set(figures) == {"loss", "bleu", "chrf"}
    assert figures == learner.validate(model)
    assert Translation.figures() == {"loss": False, "chrf": True, "bleu": True}
    assert all(parameter.grad is None for parameter in model.parameters())


def test_every_parameter_is_in_one_group_of_the_optimizer(model: Any) -> None:
    groups = parameter_groups(model, 20.0)
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in model.parameters())
    assert [group["lr_scale"] for group in groups] == [20.0, 1.0]


def test_the_phrasebook_is_read_in_either_direction() -> None:
    book = compose_config(["data.size=300"]).data
    there, back = book.read(Languages()), book.read(Languages(source="de", target="en"))
    assert sum(len(pairs) for _, pairs in there.items()) == 300
    assert [(german, english) for english, german in there.train] == list(back.train)


def test_a_model_of_t5s_vocabulary_has_t5s_rows() -> None:
    settings = compose_config(["model=t5_small_scratch"]).model
    assert t5_config(settings, 32_000).vocab_size == 32_128
    assert t5_config(settings, 500).vocab_size == 500


def test_a_written_model_loads_again(tmp_path: Path, model: Any, tokenizer: Tokenizer) -> None:
    from transformers import T5ForConditionalGeneration

    from train.tasks.translation.model import write_model

    vocabulary = train_vocabulary([text for pair in PAIRS for text in pair], 90)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_model(model, vocabulary, tmp_path / folder)
    assert {file.name: file.read_bytes() for file in (tmp_path / "a").iterdir()} == {
        file.name: file.read_bytes() for file in (tmp_path / "b").iterdir()
    }
    loaded = T5ForConditionalGeneration.from_pretrained(tmp_path / "a").eval()
    learner = learner_of(tokenizer)
    batch = learner.batch(np.arange(4))
    assert torch.equal(learner.loss(loaded, batch), learner.loss(model, batch))
