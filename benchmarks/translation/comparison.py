"""What the figures of several servers say together: medians over rounds, ratios, and what was asked for."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Tree = Mapping[str, Any]

BENTO, MAR = "our Bento", "our .mar"
GENERATE_PEERS = ("TorchServe, generate", "BentoML, generate")
CORE, BARE = "our core in-process", "CTranslate2 in-process"


def medians(rounds: Sequence[Tree]) -> dict[str, Any]:
    """The median of every number that has the same place in each tree; of anything else the first that is there."""
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
    """How many times as many sentences a second ours answers as each other server, and how many times sooner alone."""
    return {
        name: {
            **{
                f"{clients}_clients": _ratio(
                    _at(servers[ours], "closed", clients, "requests_per_s"),
                    _at(tree, "closed", clients, "requests_per_s"),
                )
                for clients in servers[ours]["closed"]
            },
            "p50_alone": _ratio(_at(tree, "closed", "1", "p50_ms"), _at(servers[ours], "closed", "1", "p50_ms")),
        }
        for name, tree in servers.items()
        if name != ours
    }


@dataclass(frozen=True, kw_only=True)
class Target:
    """One thing that was asked for; ``value`` and ``met`` are None where it was not measured."""

    name: str
    value: float | None
    bound: float
    at_least: bool

    @property
    def met(self) -> bool | None:
        """Whether the value is on the right side of its bound."""
        if self.value is None:
            return None
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def targets(servers: Mapping[str, Tree], limits: Mapping[str, Tree]) -> list[Target]:
    """Everything that is asked of the CPU servers; trees of servers that failed are left out by the caller."""
    bento, mar, core = servers.get(BENTO, {}), servers.get(MAR, {}), limits.get(CORE, {})
    at_32, alone = ("closed", "32", "requests_per_s"), ("closed", "1", "p50_ms")
    found: list[Target] = []

    def want(name: str, value: float | None, bound: float, *, at_least: bool = False) -> None:
        found.append(Target(name=name, value=value, bound=bound, at_least=at_least))

    for peer in GENERATE_PEERS:
        other = servers.get(peer, {})
        want(f"{BENTO}: sentences/s over {peer}, 32 clients", _of(_ratio, bento, other, at_32), 5.0, at_least=True)
        want(f"{MAR}: sentences/s over {peer}, 32 clients", _of(_ratio, mar, other, at_32), 4.0, at_least=True)
        want(f"{BENTO}: times sooner than {peer}, 1 client", _of(_ratio, other, bento, alone), 3.0, at_least=True)
        want(f"{BENTO}: BLEU below {peer}", _of(_difference, other, bento, ("bleu",)), 0.3)
    bare = _at(limits.get(BARE, {}), "requests_per_s")
    want(f"{BENTO}: share of {BARE}, 32 clients", _ratio(_at(bento, *at_32), bare), 0.9, at_least=True)
    want(f"{BENTO}: p50 over {CORE}, 1 client", _ratio(_at(bento, *alone), _at(core, "p50_ms")), 1.15)
    open_80 = ("open", "0.8")
    want(
        f"{BENTO}: p99 over p50, open loop at 80 % of capacity",
        _ratio(_at(bento, *open_80, "p99_ms"), _at(bento, *open_80, "p50_ms")),
        4.0,
    )
    want(
        f"{BENTO}: p99 of short sentences beside documents over alone",
        _ratio(_at(bento, "mixed", "beside_long", "p99_ms"), _at(bento, "mixed", "alone", "p99_ms")),
        3.0,
    )
    want(f"{BENTO}: peak memory of the largest process, MB", _at(bento, "memory", "largest_mb"), 600.0)
    want(f"{BENTO}: start to first answer, s", _at(bento, "start_s"), 5.0)
    return found


def _of(
    combine: Callable[[float | None, float | None], float | None], one: Tree, other: Tree, path: tuple[str, ...]
) -> float | None:
    return combine(_at(one, *path), _at(other, *path))


def _at(tree: Tree, *path: str) -> float | None:
    """The number at a path, None where there is none."""
    found: Any = tree
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return None if found is None else float(found)


def _ratio(one: float | None, other: float | None) -> float | None:
    return round(one / other, 2) if one is not None and other else None


def _difference(one: float | None, other: float | None) -> float | None:
    return round(one - other, 2) if one is not None and other is not None else None
