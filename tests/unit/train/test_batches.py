from collections.abc import Sequence

import numpy as np
import pytest

from train.batches import EvenBatches, Indices, Lengths, by_length, cut, units


def padding_share(batches: Sequence[Indices], lengths: Lengths) -> float:
    """Compute the share of the padded units that are padding, between 0 and 1."""
    counted = [units(rows, lengths) for rows in batches]
    return 1 - sum(count.real for count in counted) / sum(count.padded for count in counted)


def lengths(size: int = 5000, seed: int = 0) -> Lengths:
    rng = np.random.default_rng(seed)
    sources = rng.poisson(12, size) + 2
    return np.stack([sources, np.maximum(2, sources + rng.integers(-3, 4, size))], axis=1).astype(np.int64)


def test_every_row_comes_once_in_an_epoch() -> None:
    batches = EvenBatches(lengths(), batch_units=1024, seed=1).epoch(0)
    assert sorted(np.concatenate(batches)) == list(range(5000))


def test_no_batch_exceeds_the_budget_with_its_padding() -> None:
    both = lengths()
    for rows in EvenBatches(both, batch_units=1024, seed=1).epoch(0):
        assert len(rows) * (both[rows, 0].max() + both[rows, 1].max()) <= 1024


def test_batches_fill_the_budget() -> None:
    both = lengths()
    batches = EvenBatches(both, batch_units=1024, seed=1).epoch(0)
    assert np.mean([both[rows].sum() for rows in batches]) > 0.85 * 1024


def test_an_example_longer_than_the_budget_is_a_batch_of_its_own() -> None:
    batches = EvenBatches(np.array([[5, 5], [200, 200], [5, 5]], dtype=np.int64), batch_units=64, seed=1).epoch(0)
    assert [1] in [rows.tolist() for rows in batches]


@pytest.mark.parametrize("size", [5000, 40_000])
def test_less_than_a_tenth_is_padding(size: int) -> None:
    both = lengths(size)
    assert padding_share(EvenBatches(both, batch_units=4096, seed=1).epoch(0), both) < 0.1


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int, *, after: int | None = None) -> list[list[int]]:
        batches = EvenBatches(lengths(), batch_units=512, seed=seed)
        if after is not None:
            batches.epoch(after)
        return [rows.tolist() for rows in batches.epoch(epoch)]

    assert order(1, 3) == order(1, 3, after=2)
    assert order(1, 3) != order(1, 4)
    assert order(1, 3) != order(2, 3)


def test_neighbouring_batches_differ_in_length() -> None:
    both = lengths(40_000)
    batches = EvenBatches(both, batch_units=1024, seed=1).epoch(0)
    means = np.array([both[rows, 1].mean() for rows in batches])
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.2


def test_cutting_nothing_gives_nothing() -> None:
    empty = np.array([], dtype=np.int64)
    nothing = empty.reshape(0, 2)
    assert cut(by_length(empty, nothing), nothing, 10) == []


@pytest.mark.parametrize("sides", [1, 3])
def test_an_example_may_have_any_number_of_sides(sides: int) -> None:
    many = np.random.default_rng(0).integers(1, 30, (500, sides))
    batches = EvenBatches(many, batch_units=256, seed=1).epoch(0)
    assert sorted(np.concatenate(batches)) == list(range(500))
    assert all(units(rows, many).padded <= 256 for rows in batches)
    assert padding_share(batches, many) < 0.35


def test_examples_of_one_unit_each_have_no_padding() -> None:
    images = np.ones((10, 1), dtype=np.int64)
    batches = EvenBatches(images, batch_units=4, seed=1).epoch(0)
    assert sorted(map(len, batches)) == [2, 4, 4]
    assert [units(rows, images).real for rows in batches] == [len(rows) for rows in batches]
    assert padding_share(batches, images) == 0
