"""The results of a benchmark of servers as tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.serving.comparison import BENTO, Tree


@dataclass(frozen=True, kw_only=True)
class Words:
    """Headings that name a task's inputs, and its measures of quality by their names in the record."""

    items: str
    other: str = ""
    short: str = ""
    long: str = ""
    quality: Mapping[str, str]


def show(console: Console, results: Tree, words: Words) -> None:
    """Print throughput, latency and costs of the servers, the limits without one, and the targets."""
    bundle, machine = results["bundle"], results["machine"]
    console.print(f"{bundle['name']} {bundle['version']} on {machine['cores']} cores of {machine['cpu']}")
    done = {name: tree for name, tree in results["servers"].items() if "closed" in tree}
    if done:
        console.print(_throughput(results, done, words))
        console.print(_latency(results, done, words))
        console.print(_costs(done, words))
    console.print(_limits(results["limits"], words))
    console.print(_targets(results["targets"]))
    for name, tree in results["servers"].items():
        console.print(f"{name}: {tree['settings']}", markup=False)
        if tree["failed"]:
            console.print(Text(f"{name} failed: {tree['failed']}", style="red"))


def _table(title: str, first: str, *numbers: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for label in numbers:
        table.add_column(label, justify="right")
    return table


def _throughput(results: Tree, done: Tree, words: Words) -> Table:
    clients = [str(count) for count in results["plan"]["clients"]]
    labels = ["1 client" if count == "1" else f"{count} clients" for count in clients]
    title = (
        f"{words.items.capitalize()} a second in a closed loop, and in brackets how many times as many {BENTO} answers"
    )
    table = _table(title, "server", *labels, "p50 of 1 client, ms")
    faster = results["ratios"].get(BENTO, {})
    for name, tree in done.items():
        closed, times = tree["closed"], faster.get(name, {})
        cells = [_with_ratio(closed[count]["requests_per_s"], times.get(f"{count}_clients")) for count in clients]
        table.add_row(name, *cells, _with_ratio(closed["1"]["p50_ms"], times.get("p50_alone")))
    return table


def _costs(done: Tree, words: Words) -> Table:
    labels = (*words.quality.values(), "tokens/s", "largest process, MB", "all processes, MB", "start, s")
    table = _table("Quality of the answers, and their costs", "server", *labels, "client's CPU", "others' CPU")
    for name, tree in done.items():
        busiest = max(tree["closed"].values(), key=lambda figures: figures["requests_per_s"])
        table.add_row(
            name,
            *(_number(tree.get(measure), 2) for measure in words.quality),
            _number(busiest["target_tokens_per_s"], 0),
            _number(tree["memory"]["largest_mb"], 0),
            _number(tree["memory"]["total_mb"], 0),
            _number(tree["start_s"], 1),
            f"{busiest['client_cores']:.0%}",
            f"{tree['others_cores']:.0%}",
        )
    return table


def _limits(limits: Tree, words: Words) -> Table:
    labels = (f"{words.items}/s together", "tokens/s", "p50 alone, ms", *words.quality.values())
    table = _table("In-process, without a server", "limit", *labels)
    table.add_column("settings")
    for name, tree in limits.items():
        table.add_row(
            name,
            _number(tree["requests_per_s"], 1),
            _number(tree["target_tokens_per_s"], 0),
            _number(tree["p50_ms"], 1),
            *(_number(tree.get(measure), 2) for measure in words.quality),
            tree["settings"],
        )
    return table


def _latency(results: Tree, done: Tree, words: Words) -> Table:
    plan = results["plan"]
    titles = ["server", *(f"open loop {share:.0%}" for share in plan["open_shares"])]
    if plan["other"]:
        titles.append(f"{words.other}, 32 clients")
    if plan["mixed"]:
        # The last one exposes a server that cuts long inputs, which makes it fast with them.
        titles += [
            words.short,
            f"{words.short} beside {words.long}",
            words.long,
            f"tokens of an answer to {words.long}",
        ]
    table = Table(*titles, title="Latency in ms: p50 / p95 / p99", title_justify="left")
    for name, tree in done.items():
        cells = [_percentiles(tree["open"][str(share)]) for share in plan["open_shares"]]
        if plan["other"]:
            cells.append(_percentiles(tree["other"]))
        if plan["mixed"]:
            mixed = tree["mixed"]
            cells += map(_percentiles, (mixed["alone"], mixed["beside_long"], mixed["long"]))
            cells.append(_number(mixed["long"]["target_tokens_per_answer"], 0))
        table.add_row(name, *cells)
    return table


def _targets(targets: Sequence[Tree]) -> Table:
    table = Table("target", "wanted", "measured", "", title="Targets", title_justify="left")
    marks = {True: Text("met", style="green"), False: Text("missed", style="red"), None: Text("not measured")}
    for target in targets:
        bound = f"{'at least' if target['at_least'] else 'at most'} {target['bound']:g}"
        table.add_row(target["name"], bound, _number(target["value"], 2), marks[target["met"]])
    return table


def _percentiles(figures: Tree) -> str:
    text = " / ".join(_number(figures[name], 0) for name in ("p50_ms", "p95_ms", "p99_ms"))
    return f"{text}, {figures['errors']:g} errors" if figures["errors"] else text


def _with_ratio(value: float | None, ratio: float | None) -> str:
    return _number(value, 1) + (f" ({ratio:.1f}x)" if ratio is not None else "")


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
