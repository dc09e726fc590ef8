"""Changing the model under a running server: requests in flight keep their model, new requests get the new one.

::

    new requests ---> current: Served(predictor, batcher, requests in flight)
                         | replace()
                         v
                      retiring: no new requests; when the last one is answered, its batcher and predictor are closed
"""

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
    """A model with its batcher, freed when the last of its requests has been answered."""

    def __init__(self, predictor: Predictor, batcher: MicroBatcher) -> None:
        self.predictor, self.batcher = predictor, batcher
        self.requests = 0
        self._unused = asyncio.Event()

    def returned(self) -> None:
        """Count a request as ended; the last one after the model was replaced lets it be freed."""
        self.requests -= 1
        if not self.requests:
            self._unused.set()

    async def retire(self) -> None:
        """Wait until the requests in flight are answered, and free the model."""
        if self.requests:
            self._unused.clear()
            await self._unused.wait()
        await self.batcher.close()
        # In a thread: freeing hundreds of megabytes takes a while, and the event loop answers others meanwhile.
        await asyncio.to_thread(self.predictor.close)


class ModelSwitch:
    """The current model, and those that still finish their requests; belongs to one event loop."""

    def __init__(self, predictor: Predictor, batcher_for: Callable[[Predictor], MicroBatcher]) -> None:
        self._batcher_for = batcher_for
        self._current = Served(predictor, batcher_for(predictor))
        self._retiring: set[asyncio.Task[None]] = set()

    @property
    def predictor(self) -> Predictor:
        """The model that answers new requests."""
        return self._current.predictor

    @contextmanager
    def borrowed(self) -> Iterator[tuple[Predictor, MicroBatcher]]:
        """Lend the model and its batcher to one request, which keeps them from its first byte to its answer."""
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
        """Replace the model whenever there is a newer one, until cancelled; ``on_look`` is called each time."""
        while True:
            try:
                with unhurried():
                    predictor = await asyncio.to_thread(following.look, self.predictor.bundle.manifest)
                if predictor is not None:
                    self.replace(predictor)
                on_look()
            except Exception:
                # Whatever it was, the server must keep looking for the next champion.
                log.exception("changing the model failed; serving on what is loaded")
            await asyncio.sleep(LOOK_EVERY_S)

    async def close(self) -> None:
        """Let the requests in flight finish, each with its model, and free all models."""
        await asyncio.gather(self._current.retire(), *self._retiring)
