"""Which int8 path is the fastest on this CPU at small batches.

python -m benchmarks.studies.int8_paths --bundle B

CTranslate2's engine against our own T5 decoding (``dragoman.engines.t5``) with its matrices quantized by PyTorch:
FBGEMM's kernels, with 8-bit activations scaled for each product at run time. Batches are static, as CTranslate2 takes
them, and each path computes with the same number of threads.
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dragoman.bundle.store import Bundle, open_bundle
from dragoman.engines.seq2seq import Hypothesis
from dragoman.engines.t5.lane import PACES
from dragoman.engines.t5.model import T5Model
from dragoman.engines.t5.scheduler import SlotScheduler
from dragoman.engines.t5.weights import T5Weights, load_weights
from dragoman.errors import run_cli
from dragoman.tasks.translation.task import TranslationTask
from dragoman.text.lines import read_lines
from dragoman.text.tokenizer import EOS_ID, Tokenizer

BATCHES = (1, 8, 32)
ROUNDS = 3
FIRST = 16

Decode = Callable[[Sequence[Sequence[int]]], list[list[Hypothesis]]]


class Quantized(torch.Tensor):
    """A matrix (out, in) that stands in products alone, and is an 8-bit one there."""

    packed: Any

    @staticmethod
    def of(matrix: Tensor) -> "Quantized":
        """Quantize each row of a matrix with a scale of its own."""
        scales = matrix.abs().amax(dim=1).clamp(min=1e-8).double() / 127
        rounded = torch.quantize_per_channel(matrix, scales, torch.zeros(len(scales), dtype=torch.long), 0, torch.qint8)
        found = matrix.as_subclass(Quantized)
        found.packed = torch.ops.quantized.linear_prepack(rounded, None)
        return found

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Products with the matrix; everything else is PyTorch's own."""
        if function is torch.Tensor.t:
            return args[0]
        if function is torch.nn.functional.linear or function in (torch.Tensor.matmul, torch.Tensor.__matmul__):
            return torch.ops.quantized.linear_dynamic(args[0], args[1].packed, reduce_range=True)
        if function is torch.Tensor.addmm_:
            return args[0].add_(torch.ops.quantized.linear_dynamic(args[1], args[2].packed, reduce_range=True))
        parent: Any = super()
        return parent.__torch_function__(function, types, args, kwargs or {})


def quantized(value: Any) -> Any:
    """The weights with every matrix of a layer, the head and the cross projection quantized; the rest as it is."""
    if isinstance(value, tuple):
        return tuple(map(quantized, value))
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    changes = {}
    for field in dataclasses.fields(value):
        part = getattr(value, field.name)
        matrix = isinstance(part, Tensor) and field.name in ("project", "out", "wi", "wo", "head", "source_kv")
        changes[field.name] = Quantized.of(part.clone()) if matrix else quantized(part)
    return dataclasses.replace(value, **changes)


def paths(bundle: Bundle) -> dict[str, tuple[Decode, Callable[[], None]]]:
    """Each path with its decode function and what ends it."""
    task = TranslationTask(bundle, engine="ctranslate2", device="cpu")
    decoding, limits = task.options.decoding, task.limits
    found: dict[str, tuple[Decode, Callable[[], None]]] = {}
    with torch.inference_mode():
        weights = load_weights(bundle.model_dir, device="cpu", dtype=torch.float32)
        packed: T5Weights = quantized(weights)
    models = {
        "slots, float32": T5Model(weights, max_source=limits.max_source_tokens, max_target=limits.max_new_tokens),
        "slots, FBGEMM int8": T5Model(packed, max_source=limits.max_source_tokens, max_target=limits.max_new_tokens),
    }
    engines: dict[str, Any] = {"CTranslate2 int8": task.engine}
    engines |= {name: SlotScheduler(model, slots=max(BATCHES), pace=PACES["cpu"]) for name, model in models.items()}
    for name, engine in engines.items():

        def decode(sources: Sequence[Sequence[int]], engine: Any = engine) -> list[list[Hypothesis]]:
            rows: list[list[Hypothesis]] = engine.decode(sources, decoding, num_hypotheses=1, return_scores=False)
            return rows

        found[name] = (decode, engine.close)
    return found


def main() -> None:
    """Measure every path at every batch size in turns, and print tokens a second as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.int8_paths", description=__doc__)
    parser.add_argument("--bundle", required=True, type=Path, help="a bundle directory")
    parser.add_argument("--sentences", required=True, help="a UTF-8 file, plain or .gz, one sentence a line")
    parser.add_argument("--limit", type=int, default=96, help="sentences (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch (default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    bundle = open_bundle(options.bundle)
    tokenizer = Tokenizer(bundle.model_dir / "spiece.model")
    lines = [line for line in read_lines(options.sentences) if line.strip()][: options.limit]
    prefix = TranslationTask.options_of(bundle.manifest).preprocessing.prefix
    sources = [[*tokenizer.encode(prefix + line), EOS_ID] for line in lines]
    found: dict[str, dict[str, Any]] = {}
    opened = paths(bundle)
    reference: list[tuple[int, ...]] = []
    for name, (decode, _) in opened.items():
        ids = [row[0].ids for row in decode(sources)]
        reference = reference or ids
        found[name] = {"same_as_first": sum(a == b for a, b in zip(ids, reference, strict=True)), "of": len(ids)}
    for batch in BATCHES:
        # Few sentences are enough where each is decoded alone.
        part = sources[: FIRST * batch]
        best: dict[str, float] = dict.fromkeys(opened, 0.0)
        for _ in range(ROUNDS):
            for name, (decode, _) in opened.items():
                started = time.perf_counter()
                tokens = 0
                for start in range(0, len(part), batch):
                    tokens += sum(len(row[0].ids) + 1 for row in decode(part[start : start + batch]))
                best[name] = max(best[name], tokens / (time.perf_counter() - started))
        for name, speed in best.items():
            found[name][f"target_tokens_per_second_at_{batch}"] = round(speed, 1)
    for _, close in opened.values():
        close()
    print(json.dumps({"threads": options.threads, "paths": found}, indent=2))


if __name__ == "__main__":
    run_cli(main)
