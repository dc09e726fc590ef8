import threading
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from train.batches import BATCHES_AHEAD, Indices, Prefetcher


def batches(epoch: int) -> Sequence[Indices]:
    """Make three batches an epoch, whose rows say which they are."""
    return [np.array([10 * epoch + position]) for position in range(3)]


def collate(rows: Indices) -> dict[str, torch.Tensor]:
    return {"rows": torch.from_numpy(rows)}


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "prefetch"]


def test_batches_come_in_order_from_a_place_on_with_the_place_after_each() -> None:
    with Prefetcher(batches, collate, epoch=1, position=1, pin=False) as prefetcher:
        taken = [prefetcher.take() for _ in range(4)]
    assert [int(fetched.batch["rows"]) for fetched in taken] == [11, 12, 20, 21]
    assert [(fetched.next_epoch, fetched.next_position) for fetched in taken] == [(1, 2), (2, 0), (2, 1), (2, 2)]


def test_no_more_is_collated_ahead_than_said() -> None:
    collated: list[int] = []
    full = threading.Event()

    def noting(rows: Indices) -> dict[str, torch.Tensor]:
        collated.append(int(rows[0]))
        # One waits for room while the queue holds the others.
        if len(collated) == BATCHES_AHEAD + 1:
            full.set()
        return collate(rows)

    with Prefetcher(batches, noting, epoch=0, position=0, pin=False):
        assert full.wait(10)
    assert len(collated) <= BATCHES_AHEAD + 2


def test_an_error_of_the_batch_function_reaches_the_loop_after_the_batches_before_it() -> None:
    def failing(rows: Indices) -> dict[str, torch.Tensor]:
        if rows[0] == 1:
            raise ValueError("this row cannot be read")
        return collate(rows)

    with Prefetcher(batches, failing, epoch=0, position=0, pin=False) as prefetcher:
        assert int(prefetcher.take().batch["rows"]) == 0
        with pytest.raises(ValueError, match="cannot be read"):
            prefetcher.take()
    assert threads() == []


def test_the_thread_ends_with_the_block_however_that_ends() -> None:
    def broken_off() -> None:
        with Prefetcher(batches, collate, epoch=0, position=0, pin=False) as prefetcher:
            prefetcher.take()
            assert threads() == ["prefetch"]
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken_off()
    assert threads() == []
