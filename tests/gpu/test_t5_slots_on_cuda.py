"""The slots on a GPU, where every step but the first of its shape is the replay of a CUDA graph."""

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from dragoman.engines.seq2seq import Decoding
from dragoman.engines.t5.lane import CUDA_PACE
from dragoman.engines.t5.scheduler import SlotScheduler
from dragoman.text.tokenizer import EOS_ID
from tests.t5_reference import MAX_SOURCE, MAX_TARGET, VOCABULARY, Generate, open_model, write_random_t5

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

OPTIONS = [
    (Decoding(max_new_tokens=MAX_TARGET), 1),
    (Decoding(max_new_tokens=7), 1),
    (Decoding(max_new_tokens=MAX_TARGET, num_beams=4, length_penalty=0.6), 4),
    (Decoding(max_new_tokens=12, num_beams=2), 1),
]


def random_sources(count: int) -> list[tuple[int, ...]]:
    chooser = random.Random(3)
    lengths = [chooser.randrange(MAX_SOURCE) for _ in range(count)]
    return [(*(chooser.randrange(2, VOCABULARY) for _ in range(length)), EOS_ID) for length in lengths]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Fused attention on CUDA wants vectors of 16 bytes.
    return write_random_t5(tmp_path_factory.mktemp("t5"), d_model=32, num_heads=4)


def test_graphs_in_float32_give_what_generate_gives(folder: Path):
    sources, reference = random_sources(24), Generate(folder)
    scheduler = SlotScheduler(open_model(folder, device="cuda"), slots=32, pace=CUDA_PACE)

    def ask(option: tuple[Decoding, int]):
        return scheduler.decode(sources, option[0], num_hypotheses=option[1], return_scores=True)

    # The second round replays what the first one recorded.
    for _ in range(2):
        with ThreadPoolExecutor(len(OPTIONS)) as callers:
            for (decoding, number), rows in zip(OPTIONS, callers.map(ask, OPTIONS), strict=True):
                for source, found in zip(sources, rows, strict=True):
                    expected = reference(source, decoding, number)
                    assert [(each.ids, each.finished) for each in found] == [
                        (each.ids, each.finished) for each in expected
                    ]
                    scores = [each.score for each in expected]
                    assert [each.score for each in found] == pytest.approx(scores, rel=1e-3, abs=1e-3)
    scheduler.close()


def test_graphs_in_bfloat16_give_the_same_whenever_asked_in_the_same_way(folder: Path):
    sources = random_sources(40)
    scheduler = SlotScheduler(open_model(folder, device="cuda", dtype=torch.bfloat16), slots=64, pace=CUDA_PACE)
    for decoding, number in OPTIONS:
        rounds = [scheduler.decode(sources, decoding, num_hypotheses=number, return_scores=True) for _ in range(3)]
        assert rounds[1] == rounds[2]
        assert all(row[0].ids or row[0].finished for row in rounds[0])
    scheduler.close()


def test_bfloat16_rarely_changes_the_first_tokens(folder: Path):
    sources, decoding = random_sources(40), Decoding(max_new_tokens=MAX_TARGET)
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        scheduler = SlotScheduler(open_model(folder, device="cuda", dtype=dtype), slots=64, pace=CUDA_PACE)
        found.append(scheduler.decode(sources, decoding, num_hypotheses=1, return_scores=False))
        scheduler.close()
    assert sum(full[0].ids[:1] == half[0].ids[:1] for full, half in zip(*found, strict=True)) >= 32
