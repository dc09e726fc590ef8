"""The requests that are not answered yet, and the budget of each class of them."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dragoman.batching.queue import WaitingItem
from dragoman.errors import UnavailableError
from dragoman.items.outcomes import Failure, Result

# A request is short or long, by what all its items cost, and each class has a budget of its own, so that long requests
# never keep short ones out:
#
#                          budget of short requests   |######        |  full: 503 for short requests alone
#     accepted request --> held from its acceptance until its items are computed, or it ends
#                          budget of long requests    |##############|#####  one of any size, if nothing long waits
#
# What a request holds is two numbers beside its items, so that a client who leaves gives it back at once, however many
# items are still to be removed from the line.

RequestClass = Literal["short", "long"]


@dataclass(kw_only=True)
class ClassBudget:
    """The waiting work of one class of requests and its limits; an empty budget admits a request of any size."""

    request_class: RequestClass
    max_items: int
    max_cost: int
    items: int = 0
    cost: int = 0

    def has_room(self, items: int, cost: int) -> bool:
        """Tell whether so much more may wait."""
        if not self.items or not items:
            return True
        return self.items + items <= self.max_items and self.cost + cost <= self.max_cost


def overloaded(*budgets: ClassBudget) -> UnavailableError:
    """Return the error that refuses a request for which these budgets have no room."""
    waiting = "; ".join(
        f"{budget.request_class} requests: {budget.items} items of cost {budget.cost} are waiting "
        f"and the limits are {budget.max_items} and {budget.max_cost}"
        for budget in budgets
    )
    return UnavailableError(f"{waiting}; send this request again in a moment", code="overloaded")


class PendingRequest:
    """A request in the batcher: the items not in line yet, the room it holds, and its outcomes so far."""

    def __init__(
        self, items: Sequence[Any], cost: int, *, budget: ClassBudget, arrived: float, deadline: float
    ) -> None:
        """Hold the room for all ``items``, which ``cost`` so much together."""
        self.budget, self.arrived, self.deadline = budget, arrived, deadline
        self.answer: asyncio.Future[list[Result | Failure]] = asyncio.get_running_loop().create_future()
        self.waits_for: dict[WaitingItem, None] = {}
        # The cost of the items put in line before the next one, and the number of waiting items that it owns.
        self.cost_ahead = self.in_line = 0
        self.will_be_fed = False
        self.is_over = False
        self._items, self._next = items, 0
        self._outcomes: list[Any] = [None] * len(items)
        self._unanswered = len(items)
        self._held_items = self._held_cost = 0
        self.hold(len(items), cost)

    @property
    def is_long(self) -> bool:
        """Tell whether it is of the class of long requests."""
        return self.budget.request_class == "long"

    @property
    def has_more(self) -> bool:
        """Tell whether some of its items are not in line yet."""
        return self._next < len(self._items)

    def next_items(self, count: int) -> Iterator[tuple[int, Any]]:
        """Yield up to ``count`` items that are not in line yet, with their places."""
        for place in range(self._next, min(self._next + count, len(self._items))):
            self._next = place + 1
            yield place, self._items[place]

    def hold(self, items: int, cost: int) -> None:
        """Take so much of the budget, or give it back where it is negative."""
        if not self.is_over:
            self._held_items, self._held_cost = self._held_items + items, self._held_cost + cost
            self.budget.items, self.budget.cost = self.budget.items + items, self.budget.cost + cost

    def settle(self, waiting: WaitingItem, places: Sequence[int], outcome: Result | Failure) -> None:
        """Store an outcome; the last one completes the answer."""
        if self.is_over:
            return
        self.waits_for.pop(waiting, None)
        for place in places:
            self._outcomes[place] = outcome
        self._unanswered -= len(places)
        if not self._unanswered and not self.answer.done():
            # The list was filled item by item and is handed over as it is: copying 100,000 outcomes would be a pause.
            self.answer.set_result(self._outcomes)

    def fail(self, error: Exception) -> None:
        """Answer the whole request with an error."""
        if not self.answer.done():
            self.answer.set_exception(error)

    def end(self) -> None:
        """Give back the room it holds; some of its items may still be in line, but count for no budget."""
        self.hold(-self._held_items, -self._held_cost)
        self.is_over = True
        self._items, self._outcomes = (), []
        self.answer.cancel()
