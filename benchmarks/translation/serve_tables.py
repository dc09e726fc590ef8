"""The results of ``python -m benchmarks.translation.serve`` as tables."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.translation.comparison import BENTO

Tree = Mapping[str, Any]


def show(console: Console, results: Tree) -> None:
    """Print throughput, latency and costs of the servers, the limits without one, and what was asked for."""
    bundle, machine = results["bundle"], results["machine"]
    console.print(f"{bundle['name']} {bundle['version']} on {machine['cores']} cores of {machine['cpu']}")
    done = {name: tree for name, tree in results["servers"].items() if "closed" in tree}
    if done:
        console.print(_throughput(results, done))
        console.print(_latency(results, done))
        console.print(_costs(done))
    console.print(_limits(results["limits"]))
    console.print(_targets(results))
    for name, tree in results["servers"].items():
        console.print(f"{name}: {tree['settings']}", markup=False)
        if tree["failed"]:
            console.print(Text(f"{name} failed: {tree['failed']}", style="red"))


def _throughput(results: Tree, done: Tree) -> Table:
    title = f"Sentences a second in a closed loop, and in brackets how many times as many {BENTO} answers"
    table = Table(title=title, title_justify="left")
    table.add_column("server")
    clients = [str(count) for count in results["plan"]["clients"]]
    for label in (*(f"{count} clients" if count != "1" else "1 client" for count in clients), "p50 of 1 client, ms"):
        table.add_column(label, justify="right")
    faster = results["ratios"].get(BENTO, {})
    for name, tree in done.items():
        closed, times = tree["closed"], faster.get(name, {})
        cells = [_with_ratio(closed[count]["requests_per_s"], times.get(f"{count}_clients")) for count in clients]
        table.add_row(name, *cells, _with_ratio(closed["1"]["p50_ms"], times.get("p50_alone")))
    return table


def _costs(done: Tree) -> Table:
    table = Table(title="Quality of what came back, and what it costs", title_justify="left")
    table.add_column("server")
    for label in (
        "BLEU",
        "chrF",
        "tokens/s",
        "largest process, MB",
        "all processes, MB",
        "start, s",
        "client's CPU",
        "others' CPU",
    ):
        table.add_column(label, justify="right")
    for name, tree in done.items():
        busiest = max(tree["closed"].values(), key=lambda figures: figures["requests_per_s"])
        table.add_row(
            name,
            _number(tree.get("bleu"), 2),
            _number(tree.get("chrf"), 2),
            _number(busiest["target_tokens_per_s"], 0),
            _number(tree["memory"]["largest_mb"], 0),
            _number(tree["memory"]["total_mb"], 0),
            _number(tree["start_s"], 1),
            f"{busiest['client_cores']:.0%}",
            f"{tree['others_cores']:.0%}",
        )
    return table


def _limits(limits: Tree) -> Table:
    table = Table(title="In-process, without a server", title_justify="left")
    table.add_column("limit")
    for label in ("sentences/s together", "tokens/s", "p50 alone, ms", "BLEU"):
        table.add_column(label, justify="right")
    table.add_column("settings")
    for name, tree in limits.items():
        figures = (tree["requests_per_s"], tree["target_tokens_per_s"], tree["p50_ms"], tree.get("bleu"))
        cells = [_number(value, digits) for value, digits in zip(figures, (1, 0, 1, 2), strict=True)]
        table.add_row(name, *cells, tree["settings"])
    return table


def _latency(results: Tree, done: Tree) -> Table:
    table = Table(title="Latency in ms: p50 / p95 / p99", title_justify="left")
    shares = results["plan"]["open_shares"]
    for title in ("server", *(f"open loop {share:.0%}" for share in shares)):
        table.add_column(title)
    # A server that cuts documents is fast with them; how long its answers are tells.
    extra = ("news, 32 clients", "5 words", "5 words beside documents", "documents", "tokens of a document's answer")
    wide = results["plan"]["mixed"] and results["plan"]["other"]
    for title in extra if wide else ():
        table.add_column(title)
    for name, tree in done.items():
        found = [tree["open"][str(share)] for share in shares]
        if wide:
            found += [tree["other"], *(tree["mixed"][key] for key in ("alone", "beside_long", "long"))]
        cells = [_percentiles(figures) for figures in found]
        if wide:
            cells.append(_number(tree["mixed"]["long"]["target_tokens_per_answer"], 0))
        table.add_row(name, *cells)
    return table


def _targets(results: Tree) -> Table:
    table = Table("asked for", "wanted", "measured", "", title="What was asked for", title_justify="left")
    marks = {True: Text("met", style="green"), False: Text("missed", style="red"), None: Text("not measured")}
    for target in results["targets"]:
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
