"""The targets of the CPU servers of translation."""

from collections.abc import Mapping

from benchmarks.serving.comparison import (
    ALONE,
    AT_32,
    BENTO,
    MAR,
    ServingTarget,
    Tree,
    at_least,
    at_most,
    divided,
    figure,
    own_targets,
    ratio,
)

GENERATE_PEERS = ("TorchServe, generate", "BentoML, generate")
BARE = "CTranslate2 in-process"


def targets(servers: Mapping[str, Tree], limits: Mapping[str, Tree]) -> list[ServingTarget]:
    """Judge every target; the caller leaves out the trees of servers that failed."""
    bento, mar = servers.get(BENTO, {}), servers.get(MAR, {})
    found: list[ServingTarget] = []
    for peer in GENERATE_PEERS:
        other = servers.get(peer, {})
        theirs, ours = figure(other, "bleu"), figure(bento, "bleu")
        loss = None if theirs is None or ours is None else round(theirs - ours, 2)
        found += [
            at_least(5.0, f"{BENTO}: sentences/s over {peer}, 32 clients", ratio(bento, other, *AT_32)),
            at_least(4.0, f"{MAR}: sentences/s over {peer}, 32 clients", ratio(mar, other, *AT_32)),
            at_least(3.0, f"{BENTO}: times sooner than {peer}, 1 client", ratio(other, bento, *ALONE)),
            at_most(0.3, f"{BENTO}: BLEU below {peer}", loss),
        ]
    share = divided(figure(bento, *AT_32), figure(limits.get(BARE, {}), "requests_per_s"))
    return [*found, at_least(0.9, f"{BENTO}: share of {BARE}, 32 clients", share), *own_targets(servers, limits)]
