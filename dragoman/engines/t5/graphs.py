"""CUDA graphs: a step recorded once for each shape and replayed from then on, at the price of one launch."""

import threading
from collections.abc import Callable, Hashable

import torch

# PyTorch allows one recording at a time in a process.
_RECORDING = threading.Lock()


class StepGraphs:
    """The graphs of one lane, run on the current stream, never the default one; plain calls without CUDA."""

    def __init__(self, device: torch.device) -> None:
        self._on_cuda = device.type == "cuda"
        self._graphs: dict[Hashable, torch.cuda.CUDAGraph] = {}
        # No step needs the intermediate results of another one, so all graphs may use the same memory.
        self._pool = torch.cuda.graph_pool_handle() if self._on_cuda else None

    def run(self, key: Hashable, step: Callable[[], None]) -> None:
        """Run ``step`` once; ``key`` names all that its kernels and their arguments depend on."""
        if not self._on_cuda:
            step()
        elif key in self._graphs:
            self._graphs[key].replay()
        else:
            # The first step of a key runs plainly, which sets up what a recording must not (libraries, kernels loaded
            # lazily), and is recorded afterwards; recording computes nothing.
            step()
            graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
            # Other threads may use CUDA meanwhile; only the calls of this one are recorded, and checked.
            with _RECORDING, torch.cuda.graph(graph, pool=self._pool, stream=stream, capture_error_mode="thread_local"):
                step()
            self._graphs[key] = graph
