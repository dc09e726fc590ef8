"""The results of a benchmark of servers as tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.serving.comparison import BENTO, Tree

# The cell of a figure that was not measured.
NOTHING = "-"


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
    if results["limits"]:
        console.print(_limits(results["limits"], words))
    console.print(_targets(results["targets"]))
    for name, tree in results["servers"].items():
        console.print(f"{name}: {tree['settings']}", markup=False)
        if tree["failed"]:
            console.print(Text(f"{name} failed: {tree['failed']}", style="red"))


def _table(title: str, rows: Sequence[Mapping[str, str]]) -> Table:
    """Make a table of rows by column; a column without a number in any row is left out."""
    table = Table(title=title, title_justify="left")
    first, *columns = [column for column in rows[0] if any(row[column] != NOTHING for row in rows)]
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="left" if column == "settings" else "right")
    for row in rows:
        table.add_row(*(row[column] for column in (first, *columns)))
    return table


def _throughput(results: Tree, done: Tree, words: Words) -> Table:
    clients = [str(count) for count in results["plan"]["clients"]]
    faster = results["ratios"].get(BENTO, {})
    rows = []
    for name, tree in done.items():
        closed, times, row = tree["closed"], faster.get(name, {}), {"server": name}
        for count in clients:
            label = "1 client" if count == "1" else f"{count} clients"
            row[label] = _with_ratio(closed[count]["requests_per_s"], times.get(f"{count}_clients"))
        row["p50 of 1 client, ms"] = _with_ratio(closed["1"]["p50_ms"], times.get("p50_alone"))
        rows.append(row)
    items = words.items.capitalize()
    return _table(f"{items} a second in a closed loop, and in brackets how many times as many {BENTO} answers", rows)


def _costs(done: Tree, words: Words) -> Table:
    rows = []
    for name, tree in done.items():
        busiest = max(tree["closed"].values(), key=lambda figures: figures["requests_per_s"])
        rows.append(
            {
                "server": name,
                **_quality(tree, words),
                "tokens/s": _number(busiest["target_tokens_per_s"], 0),
                "largest process, MB": _number(tree["memory"]["largest_mb"], 0),
                "all processes, MB": _number(tree["memory"]["total_mb"], 0),
                "start, s": _number(tree["start_s"], 1),
                "client's CPU": f"{busiest['client_cores']:.0%}",
                "others' CPU": f"{tree['others_cores']:.0%}",
            }
        )
    return _table("Quality of the answers, and their costs", rows)


def _limits(limits: Tree, words: Words) -> Table:
    rows = [
        {
            "limit": name,
            f"{words.items}/s together": _number(tree["requests_per_s"], 1),
            "tokens/s": _number(tree["target_tokens_per_s"], 0),
            "p50 alone, ms": _number(tree["p50_ms"], 1),
            **_quality(tree, words),
            "settings": tree["settings"],
        }
        for name, tree in limits.items()
    ]
    return _table("In-process, without a server", rows)


def _latency(results: Tree, done: Tree, words: Words) -> Table:
    plan, rows = results["plan"], []
    for name, tree in done.items():
        row = {"server": name}
        for share in plan["open_shares"]:
            row[f"open loop {share:.0%}"] = _percentiles(tree["open"][str(share)])
        if plan["other"]:
            row[f"{words.other}, 32 clients"] = _percentiles(tree["other"])
        if plan["mixed"]:
            mixed = tree["mixed"]
            row[words.short] = _percentiles(mixed["alone"])
            row[f"{words.short} beside {words.long}"] = _percentiles(mixed["beside_long"])
            row[words.long] = _percentiles(mixed["long"])
            # It exposes a server that cuts long inputs, which makes it fast with them.
            row[f"tokens of an answer to {words.long}"] = _number(mixed["long"]["target_tokens_per_answer"], 0)
        rows.append(row)
    return _table("Latency in ms: p50 / p95 / p99", rows)


def _quality(tree: Tree, words: Words) -> dict[str, str]:
    return {label: _number(tree.get(measure), 2) for measure, label in words.quality.items()}


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
    return NOTHING if value is None else f"{value:.{digits}f}"
