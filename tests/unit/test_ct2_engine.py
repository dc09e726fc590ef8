import random

import pytest

from dragoman.bundle import open_bundle
from dragoman.engines import open_engine
from dragoman.manifest import Decoding
from dragoman.tokenizer import EOS_ID, Tokenizer
from tests.tiny_model import write_tiny_bundle


@pytest.fixture(scope="module")
def engine(tmp_path_factory, toy_sentences):
    bundle = open_bundle(write_tiny_bundle(tmp_path_factory.mktemp("wide"), toy_sentences, width=128))
    opened = open_engine(bundle, Tokenizer(bundle.model_dir / "spiece.model"), engine="ctranslate2", device="cpu")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def sources() -> list[list[int]]:
    """Three hundred sources of 3 to 190 tokens, most of them short."""
    chooser = random.Random(3)
    lengths = [3 + int(187 * chooser.random() ** 4) for _ in range(300)]
    return [[*(chooser.randrange(3, 60) for _ in range(length - 1)), EOS_ID] for length in lengths]


def decode(engine, batches: list[list[list[int]]], decoding: Decoding) -> list[tuple[object, ...]]:
    """The translations with their scores, which differ before a token does."""
    rows = [
        row
        for batch in batches
        for row in engine.decode(batch, decoding, num_hypotheses=decoding.num_beams, return_scores=True)
    ]
    return [tuple((hypothesis.ids, hypothesis.score) for hypothesis in row) for row in rows]


@pytest.mark.parametrize("num_beams", [1, 4])
def test_int8_answers_are_to_the_bit_the_same_alone_and_among_sources_of_any_length(engine, sources, num_beams):
    decoding = Decoding(num_beams=num_beams, max_new_tokens=12)
    assert len({len(source) for source in sources}) > 30
    alone = decode(engine, [[source] for source in sources], decoding)
    for size in (7, 50):
        batches = [sources[start : start + size] for start in range(0, len(sources), size)]
        assert decode(engine, batches, decoding) == alone
