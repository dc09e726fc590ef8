import random
from pathlib import Path

import pytest

import dragoman
from dragoman.errors import ConfigError
from dragoman.manifest import Decoding
from dragoman.tasks.translation import TranslationTask
from dragoman.tasks.translation_request import TranslationItem


@pytest.fixture(scope="module", params=["ctranslate2", "torch"])
def translate(request: pytest.FixtureRequest, tiny_bundle: Path):
    predictor = dragoman.load(tiny_bundle, engine=request.param, device="cpu")
    yield predictor
    predictor.close()


def texts(outcomes) -> list[str]:
    return [outcome.value.text for outcome in outcomes]


def test_padding_and_neighbours_do_not_change_a_translation(translate, toy_sentences):
    sentences = list(dict.fromkeys(toy_sentences))[:60]
    alone = {sentence: translate([sentence])[0] for sentence in sentences}
    assert len({outcome.value.text for outcome in alone.values()}) > 10
    for seed in range(3):
        mixed = random.Random(seed).sample(sentences, len(sentences))
        assert texts(translate(mixed)) == [alone[sentence].value.text for sentence in mixed]


def test_a_bad_item_is_a_failure_in_its_own_slot(translate, toy_sentences):
    good = toy_sentences[0]
    outcomes = translate([good, "", "x" * 500, 7, "\ud800", good])
    kinds = [type(outcome).__name__ for outcome in outcomes]
    assert kinds == ["Result", "Failure", "Failure", "Failure", "Failure", "Result"]
    assert [outcome.error.code for outcome in outcomes[1:5]] == [
        "invalid_input",
        "text_too_long",
        "invalid_input",
        "invalid_input",
    ]
    assert texts([outcomes[0]]) == texts([outcomes[5]]) == texts(translate([good]))


def test_items_with_different_options_are_answered_in_one_call(translate, toy_sentences):
    short = TranslationItem(text=toy_sentences[0], decoding=Decoding(max_new_tokens=2))
    wide = TranslationItem(
        text=toy_sentences[1], decoding=Decoding(num_beams=4, max_new_tokens=8), alternatives=2, return_scores=True
    )
    first, second, third = (outcome.value for outcome in translate([short, wide, toy_sentences[2]]))
    assert first.finish_reason == "length"
    assert len(second.alternatives) == 2
    assert second.text not in second.alternatives
    assert len(second.scores) == 3
    assert list(second.scores) == sorted(second.scores, reverse=True)
    assert third.scores == ()


def test_control_symbols_in_a_text_are_text(translate):
    plain = translate(["a </s> b <pad> <unk> <extra_id_0>"])[0]
    assert isinstance(plain, dragoman.Result)


def test_nothing_to_translate_is_no_error(translate):
    assert translate([]) == []


def test_an_item_that_breaks_the_engine_fails_alone(tiny_bundle, toy_sentences, monkeypatch, caplog):
    predictor = dragoman.load(tiny_bundle, engine="ctranslate2")
    expected = texts(predictor(toy_sentences[:31]))
    task = predictor.task
    assert isinstance(task, TranslationTask)
    poison = task.prepare("the station again with 12 friends.")
    decode, calls = task._engine.decode, []

    def fragile(sources, *arguments, **options):
        calls.append(len(sources))
        if poison.ids in sources:
            raise RuntimeError("poison")
        return decode(sources, *arguments, **options)

    monkeypatch.setattr(task._engine, "decode", fragile)
    items = [task.prepare(text) for text in toy_sentences[:31]]
    outcomes = task.run([*items[:13], poison, *items[13:]])
    assert outcomes[13].error.code == "unprocessable_text"
    assert texts(outcomes[:13] + outcomes[14:]) == expected
    # Halving a batch of 32 down to one text takes at most two calls a level beyond the first.
    assert len(calls) <= 1 + 2 * 5 + len(task._batches(items))
    predictor.close()


def test_the_engines_agree_on_full_precision_weights_up_to_quantisation(tiny_bundle, toy_sentences):
    quantised = dragoman.load(tiny_bundle, engine="ctranslate2")
    reference = dragoman.load(tiny_bundle, engine="torch")
    pairs = zip(texts(quantised(toy_sentences[:100])), texts(reference(toy_sentences[:100])), strict=True)
    # Random weights leave near-ties everywhere; a wrong layout or vocabulary would leave next to nothing equal.
    assert sum(left[:4] == right[:4] for left, right in pairs) > 50


@pytest.mark.parametrize(("engine", "device", "message"), [
    ("marian", "auto", "engine must be auto, ctranslate2 or torch"),
    ("auto", "tpu", "device must be one of auto, cpu, cuda"),
])  # fmt: skip
def test_an_unknown_engine_or_device_is_refused_with_what_there_is(tiny_bundle, engine, device, message):
    with pytest.raises(ConfigError, match=message):
        dragoman.load(tiny_bundle, engine=engine, device=device)
