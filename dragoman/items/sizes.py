"""Sizes in the units of batches: the share of an item, and the capacity of an engine."""

from dataclasses import dataclass
from typing import NamedTuple


class Size(NamedTuple):
    """An item's share of a batch.

    ``width`` is the length that its neighbours are padded to (tokens; 1 where all items are alike), ``rows`` the number
    of rows that the model computes for it (more than one where it searches several ways).
    """

    width: int = 1
    rows: int = 1

    @property
    def cost(self) -> int:
        """The item's share of a batch, without padding."""
        return self.width * self.rows


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """The work that an engine computes at once, and that may wait for it; costs are padded widths times rows.

    The limits hold for short requests and for long ones separately: see ``dragoman.batching.requests``.
    """

    parallel_batches: int = 1
    # Half of what is best for throughput alone: with 60 million weights on one core, 32 short sentences take about
    # half a second, and twice as many would be a tenth cheaper each while the next ones wait twice.
    batch_cost: int = 512
    # About as much as two cores compute within a request's deadline; more would wait in vain.
    max_waiting_items: int = 4_096
    max_waiting_cost: int = 65_536
