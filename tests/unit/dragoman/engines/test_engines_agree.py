"""Both engines over the same weights in float32: the same translations, token by token."""

from pathlib import Path

import pytest
from ctranslate2.converters import TransformersConverter

from dragoman.bundle.store import Bundle, open_bundle
from dragoman.engines.ct2_batches import CONVERSION
from dragoman.engines.seq2seq import Decoding
from dragoman.tasks.translation.task import TranslationTask
from dragoman.text.tokenizer import EOS_ID, Tokenizer
from tests.unit.dragoman.engines.test_target_vocabulary import rebundled

# Two sums of the same float32 numbers in another order differ by about this much; a choice between two tokens, or two
# hypotheses, that are closer is a tie.
TIE = 1e-3


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Return the tiny model with a conversion that keeps its weights as they are."""
    folder = tmp_path_factory.mktemp("float32")
    plain = open_bundle(tiny_bundle)
    TransformersConverter(str(plain.model_dir)).convert(str(folder / CONVERSION))
    return rebundled(plain, folder)


@pytest.mark.parametrize("num_beams", [1, 4])
def test_engines_give_the_same_tokens_and_scores(bundle: Bundle, toy_sentences: list[str], num_beams: int) -> None:
    tokenizer = Tokenizer(bundle.model_dir / "spiece.model")
    sources = [[*tokenizer.encode(sentence), EOS_ID] for sentence in dict.fromkeys(toy_sentences)][:150]
    found = {}
    for name in ("ctranslate2", "torch"):
        engine = TranslationTask(bundle, engine=name, device="cpu").engine
        decoding = Decoding(num_beams=num_beams, max_new_tokens=24)
        found[name] = [
            engine.decode([source], decoding, num_hypotheses=num_beams, return_scores=True)[0] for source in sources
        ]
        engine.close()
    for ours, theirs in zip(found["torch"], found["ctranslate2"], strict=True):
        assert [row.score for row in ours] == pytest.approx([row.score for row in theirs], abs=TIE)
        assert [row.ids for row in ours] == [row.ids for row in theirs]
