"""The targets of the CPU servers of text classification."""

from collections.abc import Mapping

from benchmarks.serving.comparison import (
    AT_32,
    BENTO,
    MAR,
    ServingTarget,
    Tree,
    at_least,
    divided,
    figure,
    own_targets,
    ratio,
)

# At 32 clients, times as many articles a second as each peer answers.
PEERS = {
    "TorchServe, one by one": 2.0,
    "BentoML, one by one": 2.0,
    "TorchServe, batches": 1.3,
    "BentoML, batches": 1.3,
}
INT8, TORCH = "CTranslate2 in-process", "torch in-process"
AGREEMENT = 99.0


def targets(servers: Mapping[str, Tree], limits: Mapping[str, Tree]) -> list[ServingTarget]:
    """Judge every target; the caller leaves out the trees of servers that failed."""
    found = []
    for peer, times in PEERS.items():
        other = servers.get(peer, {})
        for ours in (BENTO, MAR):
            faster = ratio(servers.get(ours, {}), other, *AT_32)
            found.append(at_least(times, f"{ours}: articles/s over {peer}, 32 clients", faster))
        found.append(at_least(AGREEMENT, f"{peer}: labels as ours, %", figure(other, "agreement")))
    engines = divided(*(figure(limits.get(name, {}), "requests_per_s") for name in (INT8, TORCH)))
    # No server's merit: how much of the ratios above is the engine alone.
    found.append(at_least(1.0, f"{INT8} over {TORCH}, the same batches", engines))
    return [*found, *own_targets(servers, limits)]
