"""The figures of several servers side by side: medians over rounds, ratios, and targets."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Tree = Mapping[str, Any]

BENTO, MAR = "our Bento", "our .mar"
CORE = "our core in-process"
AT_32, ALONE = ("closed", "32", "requests_per_s"), ("closed", "1", "p50_ms")


def medians(rounds: Sequence[Tree]) -> dict[str, Any]:
    """Take the median of every number that has the same place in each tree, and the first of anything else."""
    found: dict[str, Any] = {}
    for key in rounds[0]:
        values = [tree[key] for tree in rounds if tree.get(key) is not None]
        if not values:
            found[key] = None
        elif isinstance(values[0], Mapping):
            found[key] = medians(values)
        elif isinstance(values[0], (int, float)):
            found[key] = round(statistics.median(values), 3)
        else:
            found[key] = values[0]
    return found


def ratios(servers: Mapping[str, Tree], ours: str) -> dict[str, dict[str, float | None]]:
    """Compare ours with each other server: requests a second at each number of clients, and latency of one client."""
    found = {}
    for name, other in servers.items():
        if name == ours:
            continue
        found[name] = {
            f"{clients}_clients": ratio(servers[ours], other, "closed", clients, "requests_per_s")
            for clients in servers[ours]["closed"]
        }
        found[name]["p50_alone"] = ratio(other, servers[ours], *ALONE)
    return found


@dataclass(frozen=True, kw_only=True)
class ServingTarget:
    """A bound on one figure; ``value`` and ``met`` are None where it was not measured."""

    name: str
    value: float | None
    bound: float
    at_least: bool

    @property
    def met(self) -> bool | None:
        """True when the value is on the right side of its bound."""
        if self.value is None:
            return None
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def at_least(bound: float, name: str, value: float | None) -> ServingTarget:
    """Want a figure of at least ``bound``."""
    return ServingTarget(name=name, value=value, bound=bound, at_least=True)


def at_most(bound: float, name: str, value: float | None) -> ServingTarget:
    """Want a figure of at most ``bound``."""
    return ServingTarget(name=name, value=value, bound=bound, at_least=False)


def own_targets(servers: Mapping[str, Tree], limits: Mapping[str, Tree]) -> list[ServingTarget]:
    """Judge our Bento by itself, for every task alike."""
    bento, core = servers.get(BENTO, {}), limits.get(CORE, {})
    tail = divided(figure(bento, "open", "0.8", "p99_ms"), figure(bento, "open", "0.8", "p50_ms"))
    slower = divided(figure(bento, "mixed", "beside_long", "p99_ms"), figure(bento, "mixed", "alone", "p99_ms"))
    return [
        at_most(1.15, f"{BENTO}: p50 over {CORE}, 1 client", divided(figure(bento, *ALONE), figure(core, "p50_ms"))),
        at_most(4.0, f"{BENTO}: p99 over p50, open loop at 80 % of capacity", tail),
        at_most(3.0, f"{BENTO}: p99 of short inputs beside long ones over alone", slower),
        at_most(600.0, f"{BENTO}: peak memory of the largest process, MB", figure(bento, "memory", "largest_mb")),
        at_most(5.0, f"{BENTO}: start to first answer, s", figure(bento, "start_s")),
    ]


def figure(tree: Tree, *path: str) -> float | None:
    """Return the number at a path, None where there is none."""
    found: Any = tree
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return None if found is None else float(found)


def ratio(one: Tree, other: Tree, *path: str) -> float | None:
    """Divide the number at a path of one tree by the other's; None where either has none."""
    return divided(figure(one, *path), figure(other, *path))


def divided(one: float | None, other: float | None) -> float | None:
    """Divide, to two digits; None where either is None."""
    return round(one / other, 2) if one is not None and other else None
