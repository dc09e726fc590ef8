"""The figures of several servers side by side: medians over rounds, ratios, and the targets of the CPU servers."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Tree = Mapping[str, Any]

BENTO, MAR = "our Bento", "our .mar"
GENERATE_PEERS = ("TorchServe, generate", "BentoML, generate")
CORE, BARE = "our core in-process", "CTranslate2 in-process"


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
            f"{clients}_clients": _ratio(servers[ours], other, "closed", clients, "requests_per_s")
            for clients in servers[ours]["closed"]
        }
        found[name]["p50_alone"] = _ratio(other, servers[ours], "closed", "1", "p50_ms")
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


def targets(servers: Mapping[str, Tree], limits: Mapping[str, Tree]) -> list[ServingTarget]:
    """Judge every target of the CPU servers; the caller leaves out the trees of servers that failed."""
    bento, mar, core = servers.get(BENTO, {}), servers.get(MAR, {}), limits.get(CORE, {})
    at_32, alone = ("closed", "32", "requests_per_s"), ("closed", "1", "p50_ms")
    found: list[ServingTarget] = []

    def want(name: str, value: float | None, *, at_least: float | None = None, at_most: float = 0.0) -> None:
        bound = at_most if at_least is None else at_least
        found.append(ServingTarget(name=name, value=value, bound=bound, at_least=at_least is not None))

    for peer in GENERATE_PEERS:
        other = servers.get(peer, {})
        want(f"{BENTO}: sentences/s over {peer}, 32 clients", _ratio(bento, other, *at_32), at_least=5.0)
        want(f"{MAR}: sentences/s over {peer}, 32 clients", _ratio(mar, other, *at_32), at_least=4.0)
        want(f"{BENTO}: times sooner than {peer}, 1 client", _ratio(other, bento, *alone), at_least=3.0)
        theirs, ours = _at(other, "bleu"), _at(bento, "bleu")
        loss = None if theirs is None or ours is None else round(theirs - ours, 2)
        want(f"{BENTO}: BLEU below {peer}", loss, at_most=0.3)
    bare = _at(limits.get(BARE, {}), "requests_per_s")
    want(f"{BENTO}: share of {BARE}, 32 clients", _divided(_at(bento, *at_32), bare), at_least=0.9)
    want(f"{BENTO}: p50 over {CORE}, 1 client", _divided(_at(bento, *alone), _at(core, "p50_ms")), at_most=1.15)
    tail = _divided(_at(bento, "open", "0.8", "p99_ms"), _at(bento, "open", "0.8", "p50_ms"))
    want(f"{BENTO}: p99 over p50, open loop at 80 % of capacity", tail, at_most=4.0)
    slower = _divided(_at(bento, "mixed", "beside_long", "p99_ms"), _at(bento, "mixed", "alone", "p99_ms"))
    want(f"{BENTO}: p99 of short sentences beside documents over alone", slower, at_most=3.0)
    want(f"{BENTO}: peak memory of the largest process, MB", _at(bento, "memory", "largest_mb"), at_most=600.0)
    want(f"{BENTO}: start to first answer, s", _at(bento, "start_s"), at_most=5.0)
    return found


def _at(tree: Tree, *path: str) -> float | None:
    """Return the number at a path, None where there is none."""
    found: Any = tree
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return None if found is None else float(found)


def _ratio(one: Tree, other: Tree, *path: str) -> float | None:
    return _divided(_at(one, *path), _at(other, *path))


def _divided(one: float | None, other: float | None) -> float | None:
    return round(one / other, 2) if one is not None and other else None
