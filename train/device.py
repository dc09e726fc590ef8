"""The device that trains, through Accelerate."""

from typing import Literal

import torch
from accelerate import Accelerator

from dragoman.errors import ConfigError


def require_device(device: Literal["auto", "cpu", "cuda"]) -> None:
    """Raise ConfigError for a device that is not there."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("train.device=cuda, but PyTorch finds no CUDA device here; use train.device=cpu or auto")


def make_accelerator(device: Literal["auto", "cpu", "cuda"], bf16: Literal["auto", "off"]) -> Accelerator:
    """Accelerate on one device, with bfloat16 where a GPU has it."""
    require_device(device)
    on_gpu = torch.cuda.is_available() and device != "cpu"
    half = bf16 == "auto" and on_gpu and torch.cuda.is_bf16_supported()
    accelerator = Accelerator(cpu=not on_gpu, mixed_precision="bf16" if half else "no")
    if accelerator.num_processes > 1:
        raise ConfigError(f"training runs in one process, got {accelerator.num_processes}; start it without a launcher")
    return accelerator
