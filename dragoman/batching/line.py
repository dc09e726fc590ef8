"""The line in which the items of all requests wait: admission, feeding, sharing, and removal."""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from dragoman.batching.queue import BatchQueue, WaitingItem
from dragoman.batching.requests import ClassBudget, PendingRequest, overloaded
from dragoman.items.outcomes import Failure, Result
from dragoman.items.sizes import Capacity, Size

# items of one request:   done | being computed | in line, at most ITEMS_IN_LINE | not in line yet
#                                taken by rank <-  ^                               |
#                                                  '---- fed when some are taken --'
#
# Room: a request takes its room in the budget of its class when it is admitted, and gives it back at once when it ends.
# Steps: all work that depends on the number of its items is done in steps of ITEMS_PER_STEP, between which other
# callbacks of the event loop run. Items beyond the next ITEMS_IN_LINE cost nothing until their turn is near.
# Sharing: an item for which several requests ask waits once. Its owner, in whose class and at whose expense it waits,
# is a short request if there is one; when the owner leaves, another asker takes its place.
# Invariant: a waiting item has an owner, and its cost is held by that owner alone. What is not in line yet is held by
# each request for itself, and what is being computed by nobody.

# A step takes about a millisecond.
ITEMS_PER_STEP = 100
# More than batches are filled from at any time; the rest of the request has a higher rank than these.
ITEMS_IN_LINE = 4_096
# A few times what a batch takes, so that a document does not take its turns faster than a busy server computes it.
RANK_SECONDS_PER_BATCH = 2.5


class WaitingLine:
    """The items that wait, of all requests; belongs to one event loop."""

    def __init__(
        self,
        *,
        batch_key: Callable[[Any], Hashable],
        size: Callable[[Any], Size],
        capacity: Capacity,
        on_ready: Callable[[], None],
    ) -> None:
        """Call ``on_ready`` whenever a request has put in line all that it can for now."""
        self._batch_key, self._size, self._on_ready = batch_key, size, on_ready
        self._batch_cost = capacity.batch_cost
        limits = {"max_items": capacity.max_waiting_items, "max_cost": capacity.max_waiting_cost}
        self.short = ClassBudget(request_class="short", **limits)
        self.long = ClassBudget(request_class="long", **limits)
        self.requests: set[PendingRequest] = set()
        """The requests that were admitted and are not over."""
        self._queue = BatchQueue(capacity.batch_cost)
        # Items from the time they are in line until they are answered.
        self._known: dict[Hashable, WaitingItem] = {}

    def __len__(self) -> int:
        return len(self._queue)

    async def admit(self, items: Sequence[Hashable], *, deadline: float) -> PendingRequest:
        """Hold room for a request; raises UnavailableError when its class has none."""
        now = asyncio.get_running_loop().time()
        costs: list[int] = []
        await _in_steps(items, lambda step: costs.append(sum(map(self._cost, step))))
        cost = sum(costs)
        # Two requests of more than half a batch cannot share one.
        budget = self.long if cost > self._batch_cost / 2 else self.short
        if not budget.has_room(len(items), cost):
            await self._check_new(items, budget)
        # There was no pause since the last look at the budget, so the room is still there.
        request = PendingRequest(items, cost, budget=budget, arrived=now, deadline=deadline)
        self.requests.add(request)
        return request

    async def _check_new(self, items: Sequence[Hashable], budget: ClassBudget) -> None:
        """Raise UnavailableError unless there is room for the new items, which are not computed for others anyway."""
        new: set[Hashable] = set()
        cost = 0

        def takes_room(item: Hashable) -> bool:
            waiting = self._known.get(item)
            if waiting is None:
                return True
            becomes_short = waiting.is_long and budget is self.short
            return waiting.is_queued and (becomes_short or waiting.owner.is_over)

        def look_at(step: Sequence[Hashable]) -> None:
            nonlocal cost
            for item in step:
                if item not in new and takes_room(item):
                    new.add(item)
                    cost += self._cost(item)
            if not budget.has_room(len(new), cost):
                raise overloaded(budget)

        await _in_steps(items, look_at)

    def feed(self, request: PendingRequest) -> None:
        """Put the next items of a request in line, one step of them."""
        request.will_be_fed = False
        if request.is_over:
            return
        try:
            for place, item in request.next_items(min(ITEMS_PER_STEP, ITEMS_IN_LINE - request.in_line)):
                self._put_in_line(request, place, item)
        except Exception as error:
            # The task could not say how the item is to be computed.
            request.fail(error)
            return
        self._feed_later(request)
        if not request.will_be_fed:
            # Not before: a batch is filled best when all that may be in it is there.
            self._on_ready()

    def _feed_later(self, request: PendingRequest) -> None:
        """Go on with a request when other callbacks have had their turn."""
        if request.has_more and not request.will_be_fed and request.in_line < ITEMS_IN_LINE:
            request.will_be_fed = True
            asyncio.get_running_loop().call_soon(self.feed, request)

    def _put_in_line(self, request: PendingRequest, place: int, item: Hashable) -> None:
        """Queue an item of a request, or let the request share the equal one that waits or is being computed."""
        rank = request.arrived + request.cost_ahead / self._batch_cost * RANK_SECONDS_PER_BATCH
        waiting = self._known.get(item)
        if waiting is None:
            size = self._size(item)
            waiting = self._known[item] = WaitingItem(
                item=item,
                key=self._batch_key(item),
                width=max(1, size.width),
                rows=max(1, size.rows),
                arrived=request.arrived,
                rank=rank,
                deadline=request.deadline,
                is_long=request.is_long,
            )
        request.cost_ahead += waiting.cost
        # Its share was held since the request was accepted; from here on the owner holds it, once for all askers.
        request.hold(-1, -waiting.cost)
        owner = waiting.owner
        if owner is None:
            self._own(waiting, request)
        elif waiting.is_queued:
            # A shared item is as urgent as it is to the asker who needs it most.
            self._disown(waiting)
            waiting.rank = min(waiting.rank, rank)
            waiting.deadline = max(waiting.deadline, request.deadline)
            self._own(waiting, request if owner.is_over or (owner.is_long and not request.is_long) else owner)
        waiting.askers.setdefault(request, []).append(place)
        request.waits_for[waiting] = None

    def _own(self, waiting: WaitingItem, owner: PendingRequest) -> None:
        """Put an item in line, in the class and at the expense of a request."""
        waiting.owner, waiting.is_long = owner, owner.is_long
        owner.hold(1, waiting.cost)
        owner.in_line += 1
        self._queue.add(waiting)

    def _disown(self, waiting: WaitingItem) -> None:
        """Take an item out of the line."""
        self._queue.remove(waiting)
        self._release(waiting)

    def _release(self, waiting: WaitingItem) -> None:
        """Give back the room of an item that has left the line; its owner may put another one there."""
        owner: PendingRequest = waiting.owner
        owner.hold(-1, -waiting.cost)
        owner.in_line -= 1
        self._feed_later(owner)

    def end(self, request: PendingRequest) -> None:
        """Take a request out: its room is free at once, its items leave in steps."""
        self.requests.discard(request)
        request.end()
        self._remove_items(request)

    def _remove_items(self, request: PendingRequest) -> None:
        """Remove one step of the items for which a request that is over still waits."""
        for _ in range(min(ITEMS_PER_STEP, len(request.waits_for))):
            waiting, _ = request.waits_for.popitem()
            waiting.askers.pop(request, None)
            if not waiting.is_queued:
                continue
            if not waiting.askers:
                self._disown(waiting)
                del self._known[waiting.item]
            elif waiting.owner is request:
                self._disown(waiting)
                self._own(waiting, min(waiting.askers, key=lambda asker: (asker.is_over, asker.is_long)))
        if request.waits_for:
            asyncio.get_running_loop().call_soon(self._remove_items, request)

    def take(self, *, long_too: bool, share: Callable[..., int]) -> list[WaitingItem]:
        """Take out the next batch; ``share`` says how many items it may have, of those waiting of its class."""
        seed = self._queue.first(long_too=long_too)
        if seed is None:
            return []
        taken = self._queue.take(seed, share(self._queue.count(is_long=seed.is_long), is_long=seed.is_long))
        for waiting in taken:
            self._release(waiting)
        return taken

    def drop_abandoned(self, waiting: WaitingItem) -> bool:
        """Forget an item that was taken if everyone who asked for it has left; tell whether that is so."""
        is_abandoned = waiting.owner.is_over and all(asker.is_over for asker in waiting.askers)
        if is_abandoned:
            del self._known[waiting.item]
        return is_abandoned

    def settle(self, waiting: WaitingItem, outcome: Result | Failure) -> None:
        """Give the outcome of an item that was taken to everyone who asked for it."""
        del self._known[waiting.item]
        for request, places in waiting.askers.items():
            request.settle(waiting, places, outcome)

    def _cost(self, item: Hashable) -> int:
        size = self._size(item)
        return max(1, size.width) * max(1, size.rows)


async def _in_steps(items: Sequence[Hashable], handle: Callable[[Sequence[Hashable]], None]) -> None:
    """Handle items in steps, with a pause for other callbacks between two; none before the first or after the last."""
    for start in range(0, len(items), ITEMS_PER_STEP):
        if start:
            await asyncio.sleep(0)
        handle(items[start : start + ITEMS_PER_STEP])
