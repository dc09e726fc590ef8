"""Whether the workers and threads that the CTranslate2 engine chooses on this machine are the best ones, or nearly.

python -m benchmarks.studies.cpu_layout --bundle runs/<id>/bundle --sentences FILE
"""

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, NamedTuple

import ctranslate2
from rich.console import Console
from rich.progress import track
from rich.table import Table

from dragoman.bundle.store import Bundle, open_bundle
from dragoman.engines.cpu import usable_cores
from dragoman.engines.ct2 import CONVERSION, VOCABULARY_MAP, CTranslate2Engine, cpu_workers
from dragoman.errors import ConfigError, DataError, run_cli
from dragoman.items.batches import token_batches
from dragoman.items.sizes import Capacity
from dragoman.tasks.translation.task import TranslationTask
from dragoman.text.lines import read_lines
from dragoman.text.tokenizer import EOS_ID, Tokenizer

ALONE = 20
# With fewer, the last batches leave workers idle, which layouts of many workers would pay for.
BATCHES_PER_WORKER = 8
ENOUGH = 0.9
BAR_WIDTH = 24
# What would set the number of OpenMP's threads, or how long they spin before they sleep.
OPENMP_SETTINGS = ("OMP_", "GOMP_")


class Layout(NamedTuple):
    """Workers, each with a batch of its own, and the threads of each."""

    workers: int
    threads: int

    def __str__(self) -> str:
        return f"{self.workers} x {self.threads}"


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What every layout translates: a conversion's folder, sources in pieces, and the arguments of a translation."""

    model_dir: str
    sources: list[list[str]]
    arguments: dict[str, Any]


class Figures(NamedTuple):
    """Throughput of batches from as many threads as there are workers, and latency of a sentence alone."""

    sentences_per_s: float
    p50_ms: float


def layouts(cores: int) -> list[Layout]:
    """The chosen layout, all that share out every core equally, and one core alone; most workers first."""
    equal = {Layout(cores // threads, threads) for threads in range(1, cores + 1) if cores % threads == 0}
    return sorted(equal | {Layout(cpu_workers(cores), 1), Layout(1, 1)}, reverse=True)


def workload(bundle: Bundle, sentences: Sequence[str]) -> Workload:
    """The sentences as the engine decodes them; raises ConfigError when the bundle has no conversion."""
    if reason := CTranslate2Engine.cannot_open(bundle):
        raise ConfigError(f"{bundle.path}: {reason}")
    tokenizer, model_dir = Tokenizer(bundle.model_dir / "spiece.model"), bundle.engine_dir(CONVERSION)
    options = TranslationTask.options_of(bundle.manifest)
    prefix, decoding = options.preprocessing.prefix, options.decoding
    sources = [tokenizer.pieces([*tokenizer.encode(prefix + sentence), EOS_ID]) for sentence in sentences]
    arguments = {
        "beam_size": decoding.num_beams,
        "length_penalty": decoding.length_penalty,
        "max_decoding_length": decoding.max_new_tokens,
        "max_input_length": 0,
        "use_vmap": (model_dir / VOCABULARY_MAP).exists(),
    }
    return Workload(model_dir=str(model_dir), sources=sources, arguments=arguments)


def measure(layout: Layout, work: Workload) -> Figures:
    """Load the conversion in one layout and translate the sentences in the server's batches, then some alone."""
    translator = ctranslate2.Translator(work.model_dir, inter_threads=layout.workers, intra_threads=layout.threads)

    def seconds(rows: Sequence[int]) -> float:
        started = time.perf_counter()
        translator.translate_batch([work.sources[row] for row in rows], **work.arguments)
        return time.perf_counter() - started

    lengths = [len(source) for source in work.sources]
    batches = token_batches(lengths, rows=work.arguments["beam_size"], batch_tokens=Capacity().batch_cost)
    passes = math.ceil(BATCHES_PER_WORKER * layout.workers / len(batches))
    with ThreadPoolExecutor(layout.workers) as pool:
        list(pool.map(seconds, batches[-1:] * layout.workers))
        started = time.perf_counter()
        list(pool.map(seconds, batches * passes))
        together_s = time.perf_counter() - started
    alone_s = statistics.median(seconds([index % len(work.sources)]) for index in range(ALONE))
    return Figures(round(passes * len(work.sources) / together_s, 2), round(1000 * alone_s, 2))


def compare(candidates: Sequence[Layout], work: Workload, *, rounds: int, console: Console) -> dict[Layout, Figures]:
    """The medians of each layout's figures; in a round every layout has its turn, so a noisy minute favours none."""
    found: dict[Layout, list[Figures]] = {layout: [] for layout in candidates}
    # Each measurement has a process of its own: OpenMP keeps a layout's threads when its translator is gone, and they
    # spin for a while after every product, on the cores where the next layout would be measured.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as processes:
        for layout in track([*candidates] * rounds, "layouts", console=console, transient=True):
            found[layout].append(processes.submit(measure, layout, work).result())
    return {layout: Figures(*map(statistics.median, zip(*turns, strict=True))) for layout, turns in found.items()}


def complaint(found: dict[Layout, Figures], chosen: Layout) -> str | None:
    """What is wrong with the chosen layout, or None when its throughput is near the best."""
    best = max(found, key=lambda layout: found[layout].sentences_per_s)
    share = found[chosen].sentences_per_s / found[best].sentences_per_s
    if share >= ENOUGH:
        return None
    return (
        f"{chosen} (workers x threads), which the engine chooses here, translates {share:.0%} of the sentences a second"
        f" that {best} does; at least {ENOUGH:.0%} are wanted"
    )


def _table(found: dict[Layout, Figures], chosen: Layout) -> Table:
    table = Table("workers x threads", "sentences/s", "", "p50 alone, ms")
    most = max(figures.sentences_per_s for figures in found.values())
    for layout, figures in found.items():
        bar = "█" * round(BAR_WIDTH * figures.sentences_per_s / most)
        mark, style = (", chosen", "bold") if layout == chosen else ("", None)
        table.add_row(f"{layout}{mark}", f"{figures.sentences_per_s:.1f}", bar, f"{figures.p50_ms:.1f}", style=style)
    return table


def main() -> int:
    """Measure the layouts, print a table on standard error and a line of JSON; 1 when the chosen one is too slow."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.cpu_layout", description=__doc__)
    parser.add_argument("--bundle", required=True, help="a bundle directory")
    parser.add_argument("--sentences", required=True, help="a UTF-8 file, plain or .gz, one sentence a line")
    parser.add_argument("--limit", type=int, default=500, help="how many of its lines (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each layout (default: %(default)s)")
    options = parser.parse_args()
    sentences = [line for line in read_lines(options.sentences) if line.strip()][: options.limit]
    if not sentences:
        raise DataError(f"{options.sentences} has no sentence in its first {options.limit} lines that are not empty")
    # The measuring processes inherit this environment, and the engine's layout has to do without settings of a shell.
    for name in [name for name in os.environ if name.startswith(OPENMP_SETTINGS)]:
        del os.environ[name]
    cores, console = usable_cores(), Console(file=sys.stderr)
    chosen = Layout(cpu_workers(cores), 1)
    work = workload(open_bundle(options.bundle), sentences)
    found = compare(layouts(cores), work, rounds=options.rounds, console=console)
    console.print(_table(found, chosen))
    rows = [{**layout._asdict(), **figures._asdict()} for layout, figures in found.items()]
    settings = {"cores": cores, "sentences": len(sentences), "rounds": options.rounds}
    print(json.dumps({**settings, "chosen": chosen._asdict(), "layouts": rows}))
    if problem := complaint(found, chosen):
        print(problem, file=sys.stderr)
    return 1 if problem else 0


if __name__ == "__main__":
    run_cli(main)
