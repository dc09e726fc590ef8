"""Changing the model under requests: each ends with the one it began with, which is freed after the last of them."""

import asyncio
import itertools
import types
from collections.abc import Sequence
from typing import Any

from dragoman.batching.batcher import MicroBatcher
from dragoman.engines import mixing
from dragoman.items.outcomes import Failure, OnOutcome, Result
from dragoman.items.sizes import Capacity, Size
from dragoman.live.pointer import Following
from dragoman.live.switch import ModelSwitch


class Model:
    """A model as far as the switch sees one; it answers with its own name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.bundle = types.SimpleNamespace(manifest=name)
        self.closed = False

    def run(self, items: Sequence[Any], *, on_outcome: OnOutcome) -> Sequence[Result | Failure]:
        assert not self.closed
        return [Result(self.name) for _ in items]

    def close(self) -> None:
        self.closed = True


class Item:
    """One item of one token."""

    ids = (1,)
    rows = 1


def switch_from(model: Any) -> ModelSwitch:
    return ModelSwitch(
        model,
        lambda served: MicroBatcher(
            getattr(served, "run"),  # noqa: B009
            batch_key=lambda _: None,
            size=lambda _: Size(),
            capacity=Capacity(),
        ),
    )


async def _until(holds: Any) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.001)


def test_a_request_ends_with_the_model_it_began_with() -> None:
    async def scenario() -> None:
        first, second = Model("first"), Model("second")
        switch = switch_from(first)
        with switch.borrowed() as (_, batcher):
            switch.replace(second)  # type: ignore[arg-type]
            with switch.borrowed() as (predictor, later):
                assert predictor is second  # type: ignore[comparison-overlap]
                assert await later.submit([Item()]) == [Result("second")]
            # Much later, its body has arrived at last.
            await asyncio.sleep(0.01)
            assert not first.closed
            assert await batcher.submit([Item()]) == [Result("first")]
        await _until(lambda: first.closed)
        assert not second.closed
        await switch.close()
        assert second.closed

    asyncio.run(scenario())


def test_a_model_that_nobody_uses_is_freed_at_once() -> None:
    async def scenario() -> None:
        first, second = Model("first"), Model("second")
        switch = switch_from(first)
        switch.replace(second)  # type: ignore[arg-type]
        await _until(lambda: first.closed)
        await switch.close()

    asyncio.run(scenario())


def test_closing_answers_the_requests_of_every_model() -> None:
    async def scenario() -> None:
        models = [Model(str(number)) for number in range(3)]
        switch = switch_from(models[0])

        async def ask(began: asyncio.Event, may_go_on: asyncio.Event) -> Any:
            with switch.borrowed() as (_, batcher):
                began.set()
                await may_go_on.wait()
                return await batcher.submit([Item()])

        may_go_on, asked = asyncio.Event(), []
        for place in range(3):
            began = asyncio.Event()
            asked.append(asyncio.create_task(ask(began, may_go_on)))
            await began.wait()
            if place < 2:
                switch.replace(models[place + 1])  # type: ignore[arg-type]
        closing = asyncio.create_task(switch.close())
        await asyncio.sleep(0.01)
        may_go_on.set()
        assert await asyncio.gather(*asked) == [[Result(model.name)] for model in models]
        await closing
        assert all(model.closed for model in models)

    asyncio.run(scenario())


def test_a_model_that_is_to_take_over_is_checked_without_hurry_beside_the_one_that_serves() -> None:
    budgets = []

    class Looking:
        def look(self, serving: Any) -> None:
            budgets.append(mixing.budget_s())

    async def scenario() -> None:
        switch = switch_from(Model("first"))
        looking: Any = Looking()
        following = asyncio.create_task(switch.follow(looking, lambda: None))
        await _until(lambda: budgets)
        following.cancel()
        await switch.close()

    asyncio.run(scenario())
    assert budgets == [mixing.UNHURRIED_BUDGET_S]
    assert mixing.budget_s() == mixing.BUDGET_S


def test_a_failure_while_following_does_not_end_it(monkeypatch: Any) -> None:
    monkeypatch.setattr("dragoman.live.switch.LOOK_EVERY_S", 0.001)
    first, second = Model("first"), Model("second")
    looks = itertools.chain([RuntimeError("nobody foresaw this"), None, second], itertools.repeat(None))

    class Looking:
        def look(self, serving: Any) -> Any:
            assert serving in ("first", "second")
            found = next(looks)
            if isinstance(found, Exception):
                raise found
            return found

    async def scenario() -> None:
        switch = switch_from(first)
        looking: Any = Looking()
        seen: Following = looking
        following = asyncio.create_task(switch.follow(seen, lambda: None))
        await _until(lambda: switch.predictor is second)
        following.cancel()
        await switch.close()

    asyncio.run(scenario())
