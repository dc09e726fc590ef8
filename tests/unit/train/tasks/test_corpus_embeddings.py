import numpy as np
import pytest

from train.tasks.text_classification.bert.embeddings import corpus_embeddings


def texts(count: int = 200) -> list[np.ndarray]:
    """Write texts of two subjects: tokens 10 to 19 stand among each other, as do 20 to 29."""
    chooser = np.random.default_rng(1)
    return [chooser.integers(start, start + 10, size=12).astype(np.int32) for start in (10, 20) for _ in range(count)]


def likeness(rows: np.ndarray) -> np.ndarray:
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit @ unit.T


def test_tokens_of_one_subject_are_alike_and_of_two_are_not() -> None:
    found = corpus_embeddings(texts(), tokens=30, width=8, deviation=0.1)
    alike = likeness(found[10:])
    assert alike[:10, :10].mean() > alike[:10, 10:].mean() + 0.2


def test_the_embeddings_have_the_deviation_of_random_ones_and_repeat() -> None:
    first, again = (corpus_embeddings(texts(), tokens=30, width=8, deviation=0.1) for _ in range(2))
    assert first[10:].std() == pytest.approx(0.1)
    assert not first[:10].any()
    assert (first == again).all()


def test_few_tokens_and_texts_without_neighbours_are_no_error() -> None:
    few = corpus_embeddings(texts(2), tokens=30, width=64, deviation=0.1)
    assert few.shape == (30, 64)
    assert not corpus_embeddings([np.array([], dtype=np.int32)] * 3, tokens=8, width=4, deviation=0.1).any()
