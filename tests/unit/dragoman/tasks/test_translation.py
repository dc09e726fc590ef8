import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dragoman
from dragoman.engines.seq2seq import Decoding
from dragoman.errors import ConfigError, InvalidInput
from dragoman.tasks.translation.options import Limits
from dragoman.tasks.translation.request import TranslationItem
from dragoman.tasks.translation.task import TranslationTask
from dragoman.text.documents import join
from dragoman.text.tokenizer import EOS_ID
from tests.tiny_model import write_tiny_bundle


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
    bad = "the station again with 12 friends."
    (poison,) = task.prepare(bad).items
    decode, calls = task.engine.decode, []

    def fragile(sources, *arguments, **options):
        calls.append(len(sources))
        if poison.ids in sources:
            raise RuntimeError("poison")
        return decode(sources, *arguments, **options)

    monkeypatch.setattr(task.engine, "decode", fragile)
    outcomes = predictor([*toy_sentences[:13], bad, *toy_sentences[13:31]])
    assert outcomes[13].error.code == "unprocessable_text"
    assert texts(outcomes[:13] + outcomes[14:]) == expected
    # Halving a batch of 32 down to one text takes at most two calls a level beyond the first, and one asks the engine.
    assert len(calls) <= 1 + 2 * 5 + 1 + 2
    predictor.close()


def test_the_texts_of_a_request_may_not_be_too_long_together(translate):
    limit = translate.task.limits.max_characters
    text = ("the red car. " * limit)[: limit // 2]
    assert len(translate.task.parse({"q": [text, text]}).inputs) == 2
    with pytest.raises(InvalidInput, match=r"q\[2\] takes the texts of this request beyond 400 characters") as caught:
        translate.task.parse({"q": [text, text, "a"]})
    assert (caught.value.code, caught.value.status, caught.value.field) == ("text_too_long", 413, "q[2]")


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


WHITE_SPACE = ["\n  ", "  ", "\n\n\t", "\t", " \u2028", "\r\n \u00a0 "]


@pytest.fixture(scope="module")
def sentences(translate, toy_sentences) -> list[str]:
    """Return five sentences that are translated to five texts."""
    known = list(dict.fromkeys(toy_sentences))[:100]
    by_translation = dict(zip(texts(translate(known)), known, strict=True))
    by_translation.pop("", None)
    return list(by_translation.values())[:5]


def in_document(sentences: list[str]) -> str:
    pairs = zip(WHITE_SPACE, [*sentences, ""], strict=True)
    return "".join(space + sentence for space, sentence in pairs)


def item(text: str, **options: Any) -> TranslationItem:
    return TranslationItem(
        text=text, decoding=Decoding(num_beams=3, max_new_tokens=24), alternatives=2, return_scores=True, **options
    )


def test_a_document_is_its_sentences_one_by_one_with_the_white_space_between_them(translate, sentences):
    alone = texts(translate(sentences))
    document = in_document(sentences)
    expected = in_document(alone)
    assert texts(translate([document, sentences[1], document])) == [expected, alone[1], expected]


def test_the_alternatives_of_a_document_are_those_of_its_sentences_rank_by_rank(translate, sentences):
    parts = [outcome.value for outcome in translate([item(sentence) for sentence in sentences])]
    (whole,) = (outcome.value for outcome in translate([item(in_document(sentences))]))
    assert len(whole.alternatives) == 2
    for rank, alternative in enumerate(whole.alternatives):
        assert alternative == in_document([part.alternatives[rank] for part in parts])
    # With the length penalty 1 the score of the whole is the mean of its sentences' scores, weighted by their tokens.
    for score, *scores in zip(whole.scores, *(part.scores for part in parts), strict=True):
        assert min(scores) < score < max(scores)


def test_white_space_round_a_sentence_never_reaches_the_model(translate):
    task = translate.task
    (plain,) = task.prepare("the red car").items
    (spaced,) = task.prepare("\n\t the red car \u3000\r\n").items
    assert plain == spaced
    assert plain.ids == (*task._tokenizer.encode("translate: the red car"), EOS_ID)


def test_a_sentence_is_cut_only_where_the_model_cannot_read_it_whole_and_nothing_is_lost(translate):
    task = translate.task
    limit = translate.task.limits.max_source_tokens
    for text in ("the red car, the dog " * 19, "the red car; " * 30, "the" * 133, "the" * 99 + " " + "e" * 100):
        prepared = task.prepare(text)
        assert len(prepared.items) > 1
        assert all(len(part.ids) <= limit for part in prepared.items)
        pieces = [text[start:end] for start, end in prepared.spans]
        assert "".join("".join(pieces).split()) == "".join(text.split())
        assert join(text, prepared.spans, pieces) == text
        assert isinstance(translate([text])[0], dragoman.Result)
    longest = next(text for count in range(49, 1, -1) if len(task.prepare(text := "the dog " * count).items) == 1)
    assert limit - 8 < len(task.prepare(longest).items[0].ids) <= limit


@given(text=st.text(max_size=300).filter(str.strip))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_prepared_in_pieces_that_the_model_can_read(translate, text):
    prepared = translate.task.prepare(text)
    limit = translate.task.limits.max_source_tokens
    assert 0 < len(prepared.items) == len(prepared.spans)
    assert all(len(part.ids) <= limit for part in prepared.items)
    assert join(text, prepared.spans, [text[start:end] for start, end in prepared.spans]) == text


def test_equal_sentences_are_computed_once(translate, monkeypatch):
    engine, seen = translate.task.engine, []
    decode = engine.decode
    monkeypatch.setattr(
        engine, "decode", lambda ids, *rest, **options: seen.extend(ids) or decode(ids, *rest, **options)
    )
    text = "The red car. A dog.\nThe red car.\nThe red car."
    narrow = TranslationItem(text=text, decoding=Decoding(max_new_tokens=3))
    outcomes = translate([text, "The red car.", text, narrow])
    assert len(seen) == 4
    assert outcomes[0] == outcomes[2] != outcomes[3]


def test_one_sentence_that_is_cut_makes_the_document_say_so(translate):
    short = TranslationItem(text="the red car\nour dog", decoding=Decoding(max_new_tokens=1))
    assert translate([short])[0].value.finish_reason == "length"


def in_lines(lines: list[list[str]]) -> str:
    return "\n".join("  ".join(line) for line in lines)


def test_a_document_of_two_hundred_thousand_characters_is_answered_in_order_and_whole(tmp_path, toy_sentences):
    bundle = write_tiny_bundle(tmp_path, toy_sentences, limits=Limits())
    chooser = random.Random(3)
    lines: list[list[str]] = []
    while len(document := in_lines(lines)) < 199_500:
        lines.append(chooser.choices(toy_sentences, k=chooser.randrange(5)))
    known = sorted(set(toy_sentences))
    for engine in ("ctranslate2", "torch"):
        predictor = dragoman.load(bundle, engine=engine, device="cpu")
        alone = dict(zip(known, texts(predictor(known)), strict=True))
        (outcome,) = predictor([document])
        predictor.close()
        assert outcome.value.text == in_lines([[alone[sentence] for sentence in line] for line in lines])
