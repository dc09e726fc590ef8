"""The targets of the CPU servers of image classification."""

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

# At 32 clients, times as many images a second as each peer answers.
PEERS = {
    "TorchServe, one by one": 1.5,
    "BentoML, one by one": 1.5,
    "TorchServe, batches": 1.3,
    "BentoML, batches": 1.3,
}
ONNX, TORCH, DECODING = "onnxruntime in-process", "torch in-process", "decoding alone"
AGREEMENT = 99.0
# Decoding beyond that would be what to improve first.
DECODING_SHARE = 25.0


def targets(servers: Mapping[str, Tree], limits: Mapping[str, Tree]) -> list[ServingTarget]:
    """Judge every target; the caller leaves out the trees of servers that failed."""
    found = []
    for peer, times in PEERS.items():
        other = servers.get(peer, {})
        for ours in (BENTO, MAR):
            faster = ratio(servers.get(ours, {}), other, *AT_32)
            found.append(at_least(times, f"{ours}: images/s over {peer}, 32 clients", faster))
        found.append(at_least(AGREEMENT, f"{peer}: labels as ours, %", figure(other, "agreement")))
    onnx, torch = (figure(limits.get(name, {}), "requests_per_s") for name in (ONNX, TORCH))
    # No server's merit: how much of the ratios above is the engine alone.
    found.append(at_least(1.0, f"{ONNX} over {TORCH}", divided(onnx, torch)))
    return [*found, *_decoding(servers.get(BENTO, {}), limits.get(DECODING, {})), *own_targets(servers, limits)]


def _decoding(bento: Tree, decoding: Tree) -> list[ServingTarget]:
    """Judge the share that reading the file has in a request's time, alone and of all cores under load."""
    alone = divided(figure(decoding, "p50_ms"), figure(bento, *ALONE))
    # Both use all cores, so the shorter time of a request without a network is its share of one with it.
    busy = divided(figure(bento, *AT_32), figure(decoding, "requests_per_s"))
    return [
        at_most(DECODING_SHARE, f"{BENTO}: share of decoding in a request's time, {when}, %", _percent(share))
        for when, share in (("1 client", alone), ("32 clients", busy))
    ]


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 1)
