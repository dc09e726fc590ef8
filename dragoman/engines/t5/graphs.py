"""CUDA graphs: a step recorded once for each shape and replayed from then on, at the price of one launch."""

import threading
from collections.abc import Callable, Hashable

import torch

# PyTorch allows one recording at a time in a process.
_RECORDING = threading.Lock()


class StepGraphs:
    """Runs steps on the current stream, which must not be the default one; without CUDA it just calls them."""

    def __init__(self, device: torch.device) -> None:
        self._on_cuda = device.type == "cuda"
        self._graphs: dict[Hashable, torch.cuda.CUDAGraph] = {}
        # What a step computes on the way is needed by no other step, so all of them may use the same memory.
        self._pool = torch.cuda.graph_pool_handle() if self._on_cuda else None

    def run(self, key: Hashable, step: Callable[[], None]) -> None:
        """Do ``step`` once; ``key`` names all that its kernels and their arguments depend on.

        The first step of a key is done as it is, which also warms up everything a recording may not set up (libraries,
        kernels loaded lazily), and is then recorded; recording computes nothing.
        """
        if not self._on_cuda:
            step()
        elif key in self._graphs:
            self._graphs[key].replay()
        else:
            step()
            self._graphs[key] = self._record(step)

    def _record(self, step: Callable[[], None]) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.current_stream()
        # Other threads may use CUDA meanwhile; only what this one does is recorded, and checked.
        with _RECORDING, torch.cuda.graph(graph, pool=self._pool, stream=stream, capture_error_mode="thread_local"):
            step()
        return graph
