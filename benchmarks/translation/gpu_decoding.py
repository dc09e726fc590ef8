"""Speed of the torch engine's slots: by number of slots, by part of a step, against static batches and ``generate``.

python -m benchmarks.translation.gpu_decoding --device cuda > benchmarks/results/gpu_decoding.json
python -m benchmarks.translation.gpu_decoding --device cpu --sentences 24 --slots 1 8      (does it run at all?)

The weights are random and of t5-small's geometry, which costs what trained ones cost. They never end a sentence; every
sentence has a token limit instead, drawn so that lengths are spread as those of Multi30k are (about 20 tokens).
"""

import argparse
import dataclasses
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import transformers

from benchmarks.environment import machine
from dragoman.engines.seq2seq import Decoding
from dragoman.engines.t5.beam import BeamSlots
from dragoman.engines.t5.calls import Call, SlotItem
from dragoman.engines.t5.graphs import StepGraphs
from dragoman.engines.t5.greedy import GreedySlots
from dragoman.engines.t5.lane import PACES, Lane, Pace
from dragoman.engines.t5.model import T5Model
from dragoman.engines.t5.slots import Slots
from dragoman.engines.t5.weights import T5Sizes, fuse
from dragoman.errors import run_cli
from dragoman.text.tokenizer import EOS_ID, PAD_ID
from train.tasks.torchvision_pair import pair_torchvision

# transformers imports torchvision with its first model.
pair_torchvision()

MAX_SOURCE, MAX_TARGET = 128, 128
# The positions that attention covers in the measured steps, as it does for sentences of up to 64 tokens.
STEP_LENGTH = 64
# Steps measured together: on a GPU one alone is shorter than the clock's error.
STEPS = {"cuda": 100, "cpu": 5}
GENERATE_BATCH = 128


@dataclass(frozen=True)
class RandomSentence:
    """A source in ids, and the number of tokens of its translation."""

    ids: tuple[int, ...]
    tokens: int


def draw_sentences(count: int, vocabulary: int) -> list[RandomSentence]:
    """Draw sentences whose lengths are spread as those of Multi30k (means: 21 tokens in, 20 out)."""
    chooser = random.Random(0)
    sentences = []
    for _ in range(count):
        length = min(MAX_SOURCE, max(9, round(chooser.lognormvariate(2.98, 0.35))))
        tokens = min(MAX_TARGET, max(4, round(length * 0.93 * chooser.lognormvariate(0.0, 0.22))))
        sentences.append(
            RandomSentence((*(chooser.randrange(3, vocabulary) for _ in range(length - 1)), EOS_ID), tokens)
        )
    return sentences


def random_t5(device: str) -> tuple[transformers.T5ForConditionalGeneration, T5Model]:
    """Return the same random weights for ``generate`` and for the slots, in the types that each serves with."""
    torch.manual_seed(0)
    config = transformers.T5Config(decoder_start_token_id=PAD_ID, dropout_rate=0.0)
    peer = transformers.T5ForConditionalGeneration(config).eval()
    with torch.no_grad():
        # Of many thousand logits some are larger than the zero that this gives the end of a sentence.
        peer.shared.weight[EOS_ID] = 0.0
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    weights = fuse(T5Sizes.from_config(config.to_dict()), peer.state_dict(), device=device, dtype=dtype)
    return peer.to(device, dtype), T5Model(weights, max_source=MAX_SOURCE, max_target=MAX_TARGET)


def lane_for(model: T5Model, *, slots: int, width: int, pace: Pace) -> Lane:
    """Open a lane of ``slots`` rows of the decoder."""
    if width == 1:
        return Lane(model, GreedySlots(model, capacity=slots), pace)
    return Lane(model, BeamSlots(model, capacity=slots // width, width=width), pace)


def drain(lane: Lane, sentences: Sequence[RandomSentence], *, width: int = 1) -> None:
    """Send sentences through a lane until all are answered."""
    call = Call(len(sentences))
    lane.add(
        SlotItem(
            call=call,
            place=place,
            ids=sentence.ids,
            decoding=Decoding(num_beams=width, max_new_tokens=sentence.tokens),
            num_hypotheses=1,
            return_scores=False,
        )
        for place, sentence in enumerate(sentences)
    )
    while lane.busy:
        lane.advance()
    call.future.result(timeout=0)


def seconds(work: Callable[[], None], *, repeats: int = 3) -> float:
    """Return the median time of ``work``, after a first run that is not counted (graphs are recorded then)."""
    work()
    taken = []
    for _ in range(repeats):
        _wait()
        started = time.perf_counter()
        work()
        _wait()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def throughput(model: T5Model, sentences: Sequence[RandomSentence], *, slots: int, width: int = 1) -> dict[str, Any]:
    """Measure target tokens a second of the slot scheduler and of static batches sorted by source length."""
    pace = PACES[model.device.type]
    tokens = sum(sentence.tokens for sentence in sentences)
    lane = lane_for(model, slots=slots, width=width, pace=pace)
    refilled = seconds(lambda: drain(lane, sentences, width=width))
    # A static batch stays as wide as it began: with one slot count only, the lane never narrows.
    fixed = lane_for(model, slots=slots, width=width, pace=dataclasses.replace(pace, slot_counts=(slots // width,)))
    batches = in_batches(sentences, slots // width)

    def one_after_the_other() -> None:
        for batch in batches:
            drain(fixed, batch, width=width)

    static = seconds(one_after_the_other)
    return {
        "slots": slots,
        "num_beams": width,
        "tokens_per_second": round(tokens / refilled),
        "sentences_per_second": round(len(sentences) / refilled, 1),
        "static_batches_tokens_per_second": round(tokens / static),
        "ratio_to_static_batches": round(static / refilled, 2),
    }


def in_batches(sentences: Sequence[RandomSentence], size: int) -> list[list[RandomSentence]]:
    """Cut sentences into batches of ``size`` with similar source lengths."""
    ordered = sorted(sentences, key=lambda sentence: len(sentence.ids))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def full_slots(model: T5Model, *, slots: int) -> Slots:
    """Open greedy slots with an item in each."""
    opened = GreedySlots(model, capacity=slots)
    opened.open(slots)
    lengths = torch.full((slots,), 30, device=model.device)
    ids = torch.full((slots, 32), 5, device=model.device)
    every = list(range(slots))
    opened.admit(every, model.encode(ids, lengths), every, [MAX_TARGET] * slots, [1.0] * slots)
    return opened


def step_time(model: T5Model, *, slots: int) -> dict[str, Any]:
    """Measure microseconds of one greedy step: as it is served, launched kernel by kernel, and by operation."""
    opened, graphs, count = full_slots(model, slots=slots), StepGraphs(model.device), STEPS[model.device.type]

    def step() -> None:
        opened.step(slots, STEP_LENGTH, scored=False)

    def replay() -> None:
        for _ in range(count):
            graphs.run(slots, step)

    def launch() -> None:
        for _ in range(count):
            step()

    on_cuda = model.device.type == "cuda"
    kinds = torch.profiler.ProfilerActivity
    with torch.profiler.profile(activities=[kinds.CPU, kinds.CUDA] if on_cuda else [kinds.CPU]) as profile:
        launch()
        _wait()
    spent = []
    for event in profile.key_averages():
        microseconds = (event.self_device_time_total if on_cuda else event.self_cpu_time_total) / count
        if microseconds >= 1.0:
            spent.append((microseconds, event.key))
    largest = sorted(spent, reverse=True)[:20]
    return {
        "slots": slots,
        "microseconds": round(seconds(replay) / count * 1e6, 1),
        "microseconds_without_graph": round(seconds(launch) / count * 1e6, 1),
        "microseconds_by_operation": {key: round(microseconds, 1) for microseconds, key in largest},
    }


def floor(model: T5Model) -> dict[str, Any]:
    """Return a lower bound of a step: the time to read its weights once, at the rate at which this device copies."""
    weights = model.weights
    parts = [weights.head]
    for layer in weights.decoder.layers:
        assert layer.cross is not None
        parts += [layer.attention.project, layer.attention.out, layer.cross.project, layer.cross.out]
        parts += [layer.feed_forward.wi, layer.feed_forward.wo]
    size = sum(part.numel() * part.element_size() for part in parts)
    origin = torch.zeros(2**28 if model.device.type == "cuda" else 2**24, device=model.device)
    target = torch.empty_like(origin)

    def copy() -> None:
        target.copy_(origin)

    rate = 2 * origin.numel() * origin.element_size() / seconds(copy, repeats=9)
    return {
        "weight_bytes_of_a_step": size,
        "copy_gigabytes_per_second": round(rate / 1e9, 1),
        "microseconds": round(size / rate * 1e6, 1),
    }


def generate_throughput(
    peer: transformers.T5ForConditionalGeneration, sentences: Sequence[RandomSentence], *, batch: int
) -> dict[str, Any]:
    """Measure target tokens a second of ``generate`` on batches sorted by length, each as long as its longest."""

    def run() -> None:
        for part in in_batches(sentences, batch):
            longest = max(len(sentence.ids) for sentence in part)
            ids = [[*sentence.ids, *[PAD_ID] * (longest - len(sentence.ids))] for sentence in part]
            input_ids = torch.tensor(ids, device=peer.device)
            peer.generate(
                input_ids=input_ids,
                attention_mask=(input_ids != PAD_ID).long(),
                past_key_values=transformers.EncoderDecoderCache(
                    transformers.DynamicCache(), transformers.DynamicCache()
                ),
                generation_config=transformers.GenerationConfig(
                    max_new_tokens=max(sentence.tokens for sentence in part),
                    do_sample=False,
                    pad_token_id=PAD_ID,
                    eos_token_id=EOS_ID,
                    decoder_start_token_id=PAD_ID,
                ),
            )

    tokens = sum(sentence.tokens for sentence in sentences)
    return {"batch": batch, "tokens_per_second": round(tokens / seconds(run, repeats=1))}


def measure(device: str, *, count: int, slots: Sequence[int]) -> dict[str, Any]:
    """Measure everything, on the current stream."""
    peer, model = random_t5(device)
    sentences = draw_sentences(count, model.weights.sizes.vocab_size)
    alone = sentences[: max(8, count // 64)]
    by_slots = []
    for number in slots:
        say(f"{number} slots")
        # One slot at a time takes so long that a few sentences must do.
        by_slots.append(throughput(model, alone if number == 1 else sentences, slots=number))
    say("beam search")
    widest = max(slots)
    beams = throughput(model, sentences[: max(8, count // 4)], slots=max(4, min(widest, 128)), width=4)
    say("steps")
    steps = [step_time(model, slots=number) for number in slots]
    say("generate")
    peers = [
        generate_throughput(peer, alone, batch=1),
        generate_throughput(peer, sentences, batch=min(GENERATE_BATCH, widest)),
    ]
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "dtype": str(model.dtype).removeprefix("torch."),
        "machine": machine(),
        "torch": torch.__version__,
        "sentences": count,
        "mean_source_tokens": round(statistics.mean(len(sentence.ids) for sentence in sentences), 1),
        "mean_target_tokens": round(statistics.mean(sentence.tokens for sentence in sentences), 1),
        "greedy": by_slots,
        "beam": beams,
        "steps": steps,
        "floor_of_a_step": floor(model),
        "generate": peers,
    }


def say(what: str) -> None:
    """Show progress on standard error, beside the result."""
    print(f"measuring {what}", file=sys.stderr)


def main() -> int:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.translation.gpu_decoding", description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--sentences", type=int, default=4096, help="how many to decode (default: %(default)s)")
    parser.add_argument(
        "--slots", type=int, nargs="+", default=[1, 8, 32, 128, 256, 512], help="slot counts to measure"
    )
    arguments = parser.parse_args()
    stream = torch.cuda.Stream() if arguments.device == "cuda" else None  # type: ignore[no-untyped-call]
    with torch.inference_mode(), torch.cuda.stream(stream):
        print(json.dumps(measure(arguments.device, count=arguments.sentences, slots=arguments.slots), indent=2))
    return 0


if __name__ == "__main__":
    run_cli(main)
