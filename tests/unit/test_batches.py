import numpy as np
import pytest

from train.batches import Lengths, TokenBatches, by_length, cut, padding_share


def lengths(size: int = 5000, seed: int = 0) -> tuple[Lengths, Lengths]:
    rng = np.random.default_rng(seed)
    sources = rng.poisson(12, size) + 2
    return sources.astype(np.int64), np.maximum(2, sources + rng.integers(-3, 4, size)).astype(np.int64)


def test_every_row_comes_once_in_an_epoch() -> None:
    batches = TokenBatches(*lengths(), batch_tokens=1024, seed=1).epoch(0)
    assert sorted(np.concatenate(batches)) == list(range(5000))


def test_no_batch_exceeds_the_budget_with_its_padding() -> None:
    sources, targets = lengths()
    for rows in TokenBatches(sources, targets, batch_tokens=1024, seed=1).epoch(0):
        assert len(rows) * (sources[rows].max() + targets[rows].max()) <= 1024


def test_batches_fill_the_budget() -> None:
    sources, targets = lengths()
    batches = TokenBatches(sources, targets, batch_tokens=1024, seed=1).epoch(0)
    assert np.mean([sources[rows].sum() + targets[rows].sum() for rows in batches]) > 0.85 * 1024


def test_a_pair_longer_than_the_budget_is_a_batch_of_its_own() -> None:
    sources = np.array([5, 200, 5], dtype=np.int64)
    batches = TokenBatches(sources, sources, batch_tokens=64, seed=1).epoch(0)
    assert [1] in [rows.tolist() for rows in batches]


@pytest.mark.parametrize("size", [5000, 40_000])
def test_less_than_a_tenth_is_padding(size: int) -> None:
    sources, targets = lengths(size)
    batches = TokenBatches(sources, targets, batch_tokens=4096, seed=1).epoch(0)
    assert padding_share(batches, sources, targets) < 0.1


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int, *, after: int | None = None) -> list[list[int]]:
        batches = TokenBatches(*lengths(), batch_tokens=512, seed=seed)
        if after is not None:
            batches.epoch(after)
        return [rows.tolist() for rows in batches.epoch(epoch)]

    assert order(1, 3) == order(1, 3, after=2)
    assert order(1, 3) != order(1, 4)
    assert order(1, 3) != order(2, 3)


def test_neighbouring_batches_differ_in_length() -> None:
    sources, targets = lengths(40_000)
    batches = TokenBatches(sources, targets, batch_tokens=1024, seed=1).epoch(0)
    means = np.array([targets[rows].mean() for rows in batches])
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.2


def test_cutting_nothing_gives_nothing() -> None:
    empty = np.array([], dtype=np.int64)
    assert cut(by_length(empty, empty, empty), empty, empty, 10) == []
