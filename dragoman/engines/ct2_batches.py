"""The device, the workers and the widths of batches that CTranslate2's engines have in common."""

import logging
from collections.abc import Callable, Mapping

import ctranslate2

from dragoman.bundle.store import Bundle
from dragoman.engines.cpu import kernel_settings, processor
from dragoman.engines.mixing import BY_WIDTH, FREE, WIDEST, Verdict, padded_width
from dragoman.engines.verdicts import settled_verdict
from dragoman.errors import ConfigError

log = logging.getLogger(__name__)

CONVERSION = "ct2-int8"
# Beyond so many workers the requests of a moment no longer fill as many batches.
MAX_CPU_WORKERS = 16


def cpu_workers(cores: int) -> int:
    """Return how many workers of one thread each compute batches side by side.

    A step is too small to be shared: two threads take longer for it than one. On two cores two workers of one thread
    were measured at 177 sentences/s, and one of two at 52 (benchmarks/results/cpu-layout-cpu.json).
    """
    return min(cores, MAX_CPU_WORKERS)


def chosen_device(device: str) -> str:
    """Return cpu or cuda; raises ConfigError when the device is not there."""
    has_cuda = ctranslate2.get_cuda_device_count() > 0
    if device == "cuda" and not has_cuda:
        raise ConfigError("device is cuda, but CTranslate2 sees no CUDA device; use device=cpu or auto")
    return "cuda" if has_cuda and device != "cpu" else "cpu"


def missing_conversion(bundle: Bundle) -> str | None:
    """Return the reason why CTranslate2 cannot run the bundle, or None."""
    return None if CONVERSION in bundle.manifest.engines else f"the bundle has no {CONVERSION} conversion"


class Widths:
    """The widths at which an engine computes its batches, settled when it starts."""

    def __init__(self, bundle: Bundle, device: str, check: Callable[[], Verdict], *, edition: object) -> None:
        """Settle whether all widths mix, by an earlier verdict or by ``check``, which a CPU alone needs.

        ``edition`` names the check and its version in the key of a stored verdict.
        """
        key = {
            "bundle": bundle.manifest.digest,
            "device": device,
            "processor": processor(),
            "settings": kernel_settings(),
            "versions": {"check": edition, "ctranslate2": ctranslate2.__version__},
        }
        on_gpu = Verdict(BY_WIDTH, f"not made on {device}", certain=False)
        self._verdict = settled_verdict(key, check if device == "cpu" else lambda: on_gpu)
        self.any_width = self._verdict.mixing == FREE
        log.info("sequences of unequal lengths are mixed: %s (self-check %s)", *self.describe().values())

    def batch_class(self, length: int) -> int:
        """Return the class of a sequence of so many tokens; only sequences of equal class may share a batch."""
        return WIDEST if self.any_width and length <= WIDEST else padded_width(length, any_width=False)

    def describe(self) -> Mapping[str, str]:
        """Say how sequences mix, freely or only those of one width, and by what right."""
        return {"mixing": self._verdict.mixing, "self_check": self._verdict.reason}
