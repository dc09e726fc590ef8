"""The weights of a model in Hugging Face layout: one safetensors file, or shards with an index."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")

Tensor = TypeVar("Tensor")


def read_tensors(model_dir: Path, load_file: Callable[[Path], Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Read all tensors of a folder by name, each file by ``load_file``, which is a library's own.

    Raises ValueError for an index that does not fit its shards.
    """
    if not (model_dir / INDEX).exists():
        return dict(load_file(model_dir / WEIGHTS))
    # The index comes with the weights, so it may name nothing but the shards of its own folder, and must name them all.
    index = json.loads((model_dir / INDEX).read_text(encoding="utf-8"))
    files = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(files, dict) or not files:
        raise ValueError(f"{INDEX} has no weight_map, which names the shard of each tensor")
    shards: dict[str, set[str]] = {}
    for tensor, shard in files.items():
        if not isinstance(shard, str) or not SHARD.fullmatch(shard):
            raise ValueError(f"{INDEX} names {shard!r} for {tensor}; a shard is model-00001-of-00002.safetensors")
        shards.setdefault(shard, set()).add(tensor)
    found = {file.name for file in model_dir.glob("*.safetensors")}
    missing, extra = sorted(shards.keys() - found), sorted(found - shards.keys())
    if missing:
        raise ValueError(f"{INDEX} names {missing[0]}, which is not there")
    if extra:
        raise ValueError(f"{extra[0]} stands beside {INDEX}, which does not name it")
    tensors: dict[str, Tensor] = {}
    for shard, names in shards.items():
        held = load_file(model_dir / shard)
        if held.keys() != names:
            odd = min(held.keys() ^ names)
            raise ValueError(f"{INDEX} and {shard} do not agree on the tensors of the shard, on {odd} for one")
        tensors |= held
    return tensors
