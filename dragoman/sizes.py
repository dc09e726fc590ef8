"""Sizes in the units of batches: what an item takes, and what an engine computes at once."""

from dataclasses import dataclass
from typing import NamedTuple


class Size(NamedTuple):
    """What an item takes of a batch.

    ``width`` is what its neighbours are padded to (tokens; 1 where all items are alike), ``rows`` how many rows the
    model computes for it (the size of a beam).
    """

    width: int = 1
    rows: int = 1

    @property
    def cost(self) -> int:
        """The item's share of a batch, without padding."""
        return self.width * self.rows


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What an engine computes side by side, and how much work may wait for it; costs are padded widths times rows."""

    parallel_batches: int = 1
    batch_cost: int = 512
    max_waiting_items: int = 4_096
    max_waiting_cost: int = 65_536
