"""The device that trains and its threads. This is the one place that makes Accelerate, which the loop computes with.

Accelerate gives the loop mixed precision and gradient clipping on whatever device there is, and the seam at which
several processes can share a training; today it is started with one.
"""

import os
from typing import Literal

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from dragoman.engines.cpu import usable_cores
from dragoman.errors import ConfigError

Device = Literal["auto", "cpu", "cuda"]
Bfloat16 = Literal["auto", "gpu", "off"]


def use_device(device: Device, threads: int | Literal["auto"]) -> None:
    """Let torch compute on so many threads; raises ConfigError for a device that is not there.

    ``auto`` takes OMP_NUM_THREADS, else one thread for each core that is ours.
    """
    if threads != "auto":
        torch.set_num_threads(threads)
    elif "OMP_NUM_THREADS" not in os.environ:
        # Torch counts the machine's cores, and threads above a container's limit mostly wait for each other.
        torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("train.device=cuda, but PyTorch finds no CUDA device here; use train.device=cpu or auto")


def make_accelerator(device: Device, bf16: Bfloat16) -> Accelerator:
    """Make Accelerate on one device, with bfloat16 where the setting and the device allow it."""
    on_gpu = torch.cuda.is_available() and device != "cpu"
    half = bf16 != "off" and (torch.cuda.is_bf16_supported() if on_gpu else bf16 == "auto" and cpu_has_bf16())
    # Accelerate keeps the precision of a process's first training for all of them.
    AcceleratorState._reset_state()
    accelerator = Accelerator(cpu=not on_gpu, mixed_precision="bf16" if half else "no")
    if accelerator.num_processes > 1:
        raise ConfigError(f"training runs in one process, got {accelerator.num_processes}; start it without a launcher")
    return accelerator


def cpu_has_bf16() -> bool:
    """Tell whether this CPU multiplies bfloat16 by itself: elsewhere it is emulated, and slower than float32."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
