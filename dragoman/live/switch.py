"""Changing the model under a running server: who has begun with one ends with it, who comes later gets the next."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dragoman.batching.batcher import MicroBatcher
from dragoman.engines.mixing import unhurried
from dragoman.live.pointer import LOOK_EVERY_S, Following
from dragoman.predictor import Predictor

log = logging.getLogger(__name__)


class Served:
    """A model and the batches made for it, freed when the last request that began with it has been answered."""

    def __init__(self, predictor: Predictor, batcher: MicroBatcher) -> None:
        self.predictor, self.batcher = predictor, batcher
        self.requests = 0
        self._unused = asyncio.Event()

    def returned(self) -> None:
        """Take note that a request has ended; the last one after the model was replaced lets it be freed."""
        self.requests -= 1
        if not self.requests:
            self._unused.set()

    async def retire(self) -> None:
        """Wait until the requests in hand are answered, and free the model."""
        if self.requests:
            self._unused.clear()
            await self._unused.wait()
        await self.batcher.close()
        # Freeing hundreds of megabytes takes its time, and others are being answered meanwhile.
        await asyncio.to_thread(self.predictor.close)


class ModelSwitch:
    """The model that answers, and those that still finish what they began; belongs to one event loop."""

    def __init__(self, predictor: Predictor, batcher_for: Callable[[Predictor], MicroBatcher]) -> None:
        self._batcher_for = batcher_for
        self._current = Served(predictor, batcher_for(predictor))
        self._retiring: set[asyncio.Task[None]] = set()

    @property
    def predictor(self) -> Predictor:
        """The model that answers those who come now."""
        return self._current.predictor

    @contextmanager
    def borrowed(self) -> Iterator[tuple[Predictor, MicroBatcher]]:
        """Lend the model and its batches to one request, which keeps them from its first byte to its answer."""
        served = self._current
        served.requests += 1
        try:
            yield served.predictor, served.batcher
        finally:
            served.returned()

    def replace(self, predictor: Predictor) -> None:
        """Let another model answer from now on."""
        before, self._current = self._current, Served(predictor, self._batcher_for(predictor))
        retiring = asyncio.get_running_loop().create_task(before.retire())
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)

    async def follow(self, following: Following, on_look: Callable[[], None]) -> None:
        """Replace the model whenever there is a newer one, until cancelled; ``on_look`` is told of every look."""
        while True:
            try:
                with unhurried():
                    predictor = await asyncio.to_thread(following.look, self.predictor.bundle.manifest)
                if predictor is not None:
                    self.replace(predictor)
                on_look()
            except Exception:
                # Whatever it was, the next champion must not find nobody looking.
                log.exception("changing the model failed; serving on what is loaded")
            await asyncio.sleep(LOOK_EVERY_S)

    async def close(self) -> None:
        """Let the requests in hand finish, whichever model they began with, and free all models."""
        await asyncio.gather(self._current.retire(), *self._retiring)
