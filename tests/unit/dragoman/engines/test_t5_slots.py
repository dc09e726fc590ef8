"""Our own decoding against ``generate`` of transformers: the same tokens and scores, whatever shares the steps."""

import dataclasses
import functools
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from dragoman.engines.seq2seq import Decoding, Hypothesis
from dragoman.engines.t5.beam import BeamSlots
from dragoman.engines.t5.calls import Call, SlotItem
from dragoman.engines.t5.greedy import GreedySlots
from dragoman.engines.t5.lane import CPU_PACE, CUDA_PACE, Lane
from dragoman.engines.t5.model import T5Model
from dragoman.engines.t5.scheduler import SlotScheduler
from dragoman.engines.t5.weights import T5Sizes, load_weights
from dragoman.errors import InferenceError, InvalidInput
from dragoman.text.tokenizer import EOS_ID
from tests.t5_reference import MAX_SOURCE, MAX_TARGET, VOCABULARY, Generate, open_model, write_random_t5


def random_sources(count: int, seed: int = 0) -> list[tuple[int, ...]]:
    chooser = random.Random(seed)
    lengths = [chooser.randrange(MAX_SOURCE) for _ in range(count)]
    return [(*(chooser.randrange(2, VOCABULARY) for _ in range(length)), EOS_ID) for length in lengths]


SOURCES = random_sources(16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_t5(tmp_path_factory.mktemp("t5"))


@pytest.fixture(scope="module")
def model(folder: Path) -> T5Model:
    return open_model(folder)


@pytest.fixture(scope="module")
def generate(folder: Path):
    reference = Generate(folder)

    @functools.cache
    def every_beam(source: tuple[int, ...], decoding: Decoding) -> list[Hypothesis]:
        return reference(source, decoding, decoding.num_beams)

    return lambda source, decoding, number: every_beam(source, decoding)[:number]


@pytest.fixture
def scheduler(model: T5Model):
    opened = SlotScheduler(model, slots=8, pace=CPU_PACE)
    yield opened
    opened.close()


def assert_same(found: list[Hypothesis], expected: list[Hypothesis], *, scored: bool = True) -> None:
    assert [(each.ids, each.finished) for each in found] == [(each.ids, each.finished) for each in expected]
    if scored:
        assert [each.score for each in found] == pytest.approx([each.score for each in expected], rel=1e-4, abs=1e-4)
    else:
        assert {each.score for each in found} == {None}


@st.composite
def calls(draw) -> tuple[list[int], Decoding, int, bool]:
    width = draw(st.sampled_from([1, 1, 2, 4]))
    decoding = Decoding(
        num_beams=width,
        max_new_tokens=draw(st.sampled_from([1, 2, 9, MAX_TARGET])),
        length_penalty=draw(st.sampled_from([0.0, 1.0, 2.0])),
    )
    places = draw(st.lists(st.integers(0, len(SOURCES) - 1), min_size=1, max_size=12))
    return places, decoding, draw(st.integers(1, width)), draw(st.booleans())


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asked=st.lists(calls(), min_size=1, max_size=5),
    slots=st.sampled_from([4, 7, 32]),
    pace=st.sampled_from([CPU_PACE, CUDA_PACE]),
)
def test_calls_that_share_the_slots_get_what_generate_gives_each_source_alone(model, generate, asked, slots, pace):
    scheduler = SlotScheduler(model, slots=slots, pace=pace)
    with ThreadPoolExecutor(len(asked)) as callers:
        answers = callers.map(
            lambda call: scheduler.decode(
                [SOURCES[place] for place in call[0]], call[1], num_hypotheses=call[2], return_scores=call[3]
            ),
            asked,
        )
        for (places, decoding, number, scored), rows in zip(asked, answers, strict=True):
            for place, found in zip(places, rows, strict=True):
                assert_same(found, generate(SOURCES[place], decoding, number), scored=scored)
    scheduler.close()


@pytest.mark.parametrize("config", [
    {"feed_forward_proj": "gated-gelu"},
    {"tie_word_embeddings": False},
    {"num_layers": 3, "num_decoder_layers": 1, "relative_attention_num_buckets": 8},
])  # fmt: skip
def test_every_variant_of_t5_decodes_as_generate_does(tmp_path, config):
    folder = write_random_t5(tmp_path, **config)
    scheduler = SlotScheduler(open_model(folder), slots=8, pace=CPU_PACE)
    reference = Generate(folder)
    for width in (1, 3):
        decoding = Decoding(num_beams=width, max_new_tokens=20, length_penalty=0.8)
        found = scheduler.decode(SOURCES[:6], decoding, num_hypotheses=width, return_scores=True)
        for source, row in zip(SOURCES[:6], found, strict=True):
            assert_same(row, reference(source, decoding, width))
    scheduler.close()


def test_lengths_vary_so_that_these_tests_mean_something(generate):
    found = [generate(source, Decoding(max_new_tokens=MAX_TARGET), 1)[0] for source in SOURCES]
    assert len({len(each.ids) for each in found}) >= 5
    assert 3 <= sum(each.finished for each in found) < len(SOURCES)


def test_a_sequence_is_cut_at_the_token_limit_and_says_so(scheduler, generate):
    source = next(source for source in SOURCES if not generate(source, Decoding(max_new_tokens=30), 1)[0].finished)
    ((full,),) = scheduler.decode([source], Decoding(max_new_tokens=30), num_hypotheses=1, return_scores=False)
    ((cut,),) = scheduler.decode([source], Decoding(max_new_tokens=7), num_hypotheses=1, return_scores=False)
    assert len(full.ids) == 30
    assert cut == Hypothesis(full.ids[:7], None, False)


class CountingSlots(GreedySlots):
    """Greedy slots that keep how many slots each step computed."""

    def __init__(self, model: T5Model, *, capacity: int) -> None:
        super().__init__(model, capacity=capacity)
        self.counts: list[int] = []

    def step(self, count: int, length: int, *, scored: bool) -> None:
        self.counts.append(count)
        super().step(count, length, scored=scored)


def steps_for(model: T5Model, limits: list[int], *, slots: int, never_ends: tuple[int, ...]) -> list[int]:
    """Return the number of slots of each step while items of these token limits went through a lane."""
    counting = CountingSlots(model, capacity=slots)
    lane = Lane(model, counting, CPU_PACE)
    call = Call(len(limits))
    lane.add(
        SlotItem(
            call=call,
            place=place,
            ids=never_ends,
            decoding=Decoding(max_new_tokens=limit),
            num_hypotheses=1,
            return_scores=False,
        )
        for place, limit in enumerate(limits)
    )
    with torch.inference_mode():
        while lane.busy:
            lane.advance()
    assert [len(row[0].ids) for row in call.future.result(timeout=0)] == limits
    return counting.counts


@pytest.fixture(scope="module")
def endless(generate) -> tuple[int, ...]:
    """Return a source whose translation reaches every limit."""
    return next(source for source in SOURCES if not generate(source, Decoding(max_new_tokens=30), 1)[0].finished)


def test_a_slot_that_ends_is_refilled_while_the_others_go_on(model, endless):
    # Twelve batches of two would take 30 + 2 * 11 steps; one slot is enough for the short ones beside the long one.
    assert len(steps_for(model, [30, *[1] * 23], slots=2, never_ends=endless)) == 30


def test_the_last_items_move_together_so_that_steps_become_smaller(model, endless):
    counts = steps_for(model, [3] * 7 + [30], slots=8, never_ends=endless)
    assert counts == [8] * 3 + [1] * 27


def test_calls_of_many_threads_at_once_are_answered_each_with_its_own(model, generate):
    scheduler = SlotScheduler(model, slots=6, pace=CUDA_PACE)
    decoding = Decoding(max_new_tokens=12)
    expected = {source: generate(source, decoding, 1)[0].ids for source in SOURCES}
    wrong = []

    def ask(seed: int) -> None:
        chooser = random.Random(seed)
        for _ in range(5):
            sources = chooser.choices(SOURCES, k=chooser.randint(1, 9))
            rows = scheduler.decode(sources, decoding, num_hypotheses=1, return_scores=False)
            wrong.extend(source for source, row in zip(sources, rows, strict=True) if row[0].ids != expected[source])

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    scheduler.close()
    assert wrong == []


@pytest.mark.parametrize(("source", "decoding", "number", "message"), [
    ((5, VOCABULARY), Decoding(max_new_tokens=4), 1, "source ids must be 0 to 89"),
    ((-1,), Decoding(max_new_tokens=4), 1, "source ids must be 0 to 89"),
    ((), Decoding(max_new_tokens=4), 1, "a source must have 1 to 40 tokens, got 0"),
    ((5,) * 41, Decoding(max_new_tokens=4), 1, "a source must have 1 to 40 tokens, got 41"),
    ((5, 1), Decoding(max_new_tokens=31), 1, "max_new_tokens must be 1 to 30, got 31"),
    ((5, 1), Decoding(max_new_tokens=4, num_beams=9), 1, "num_beams must be 1 to 8, got 9"),
    ((5, 1), Decoding(max_new_tokens=4, num_beams=2), 3, "num_hypotheses must be 1 to num_beams"),
])  # fmt: skip
def test_what_the_slots_cannot_hold_is_refused_before_it_gets_there(scheduler, source, decoding, number, message):
    with pytest.raises(InvalidInput, match=message):
        scheduler.decode([(5, 1), source], decoding, num_hypotheses=number, return_scores=False)


class FragileModel(T5Model):
    """A model that runs out of memory where a test says so."""

    poison = VOCABULARY - 1
    broken_steps = 0

    def encode(self, ids, lengths):
        if (ids == self.poison).any():
            raise torch.OutOfMemoryError("too little memory for these sources")
        return super().encode(ids, lengths)

    def decode_step(self, *arguments):
        if self.broken_steps:
            self.broken_steps -= 1
            raise torch.OutOfMemoryError("too little memory for a step")
        return super().decode_step(*arguments)


@pytest.fixture
def fragile(model: T5Model):
    broken = FragileModel(model.weights, max_source=MAX_SOURCE, max_target=MAX_TARGET)
    opened = SlotScheduler(broken, slots=4, pace=CPU_PACE)
    yield broken, opened
    opened.close()


def test_a_source_that_cannot_be_encoded_fails_its_own_call_alone(fragile, generate):
    _, scheduler = fragile
    decoding = Decoding(max_new_tokens=9)
    sane = [tuple(token for token in source if token != FragileModel.poison) for source in SOURCES]
    with ThreadPoolExecutor(3) as callers:
        asked = [[*sane[:8]], [*sane[:4], (FragileModel.poison, EOS_ID), *sane[4:8]], [*sane[8:]]]
        good, bad, other = (
            callers.submit(scheduler.decode, part, decoding, num_hypotheses=1, return_scores=False) for part in asked
        )
        with pytest.raises(InferenceError, match="too little memory for these sources"):
            bad.result()
        for sources, rows in ((sane[:8], good.result()), (sane[8:], other.result())):
            for source, found in zip(sources, rows, strict=True):
                assert_same(found, generate(source, decoding, 1), scored=False)


def test_after_a_step_that_fails_the_next_calls_are_answered(fragile, generate):
    model, scheduler = fragile
    decoding = Decoding(max_new_tokens=9, num_beams=2)
    sane = tuple(token for token in SOURCES[0] if token != FragileModel.poison)
    model.broken_steps = 1
    with pytest.raises(InferenceError, match="too little memory for a step"):
        scheduler.decode([sane] * 7, decoding, num_hypotheses=1, return_scores=True)
    (found,) = scheduler.decode([sane], decoding, num_hypotheses=2, return_scores=True)
    assert_same(found, generate(sane, decoding, 2))


def test_close_answers_what_was_asked_and_refuses_what_comes_later(model, generate):
    scheduler = SlotScheduler(model, slots=2, pace=CPU_PACE)
    decoding = Decoding(max_new_tokens=MAX_TARGET)
    with ThreadPoolExecutor(1) as caller:
        asked = caller.submit(scheduler.decode, SOURCES, decoding, num_hypotheses=1, return_scores=False)
        while not (scheduler._lanes or asked.done()):
            pass
        scheduler.close()
        assert len(asked.result(timeout=10)) == len(SOURCES)
    assert not scheduler._thread.is_alive()
    with pytest.raises(InferenceError, match="closed"):
        scheduler.decode(SOURCES[:1], decoding, num_hypotheses=1, return_scores=False)


def test_nothing_to_decode_is_no_error(scheduler):
    assert scheduler.decode([], Decoding(), num_hypotheses=1, return_scores=False) == []


@pytest.mark.parametrize("width", [1, 4])
def test_a_step_in_bfloat16_reads_nothing_back_from_its_device(folder, width):
    # The meta device computes shapes and types alone, so it has no value that the host could wait for.
    model = T5Model(on_meta(load_weights(folder, device="cpu", dtype=torch.bfloat16)), max_source=40, max_target=30)
    slots = GreedySlots(model, capacity=4) if width == 1 else BeamSlots(model, capacity=4, width=width)
    with Operations() as operations:
        slots.step(3, 32, scored=True)
    assert "aten.mm.dtype" in operations.names
    assert not {name for name in operations.names if "nonzero" in name or "scalar_dense" in name}
    assert slots.report(3, 32).sequences.shape == (3, width, 32)


def on_meta(part):
    """Return the same weights without values, but for the position bias, which stays on the host."""
    if isinstance(part, torch.Tensor):
        return part if part.dtype == torch.float32 else part.to("meta")
    if isinstance(part, tuple):
        return tuple(map(on_meta, part))
    if not dataclasses.is_dataclass(part) or isinstance(part, T5Sizes):
        return part
    return dataclasses.replace(
        part, **{each.name: on_meta(getattr(part, each.name)) for each in dataclasses.fields(part)}
    )


class Operations(TorchDispatchMode):
    """A recorder of the names of the operations that PyTorch carries out."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.names.add(str(operation).removesuffix(".default"))
        return operation(*args, **(kwargs or {}))
