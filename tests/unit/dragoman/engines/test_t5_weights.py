"""Reading of a T5 from its files, and the engine around its decoding."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import T5ForConditionalGeneration
from transformers.models.t5.modeling_t5 import T5Attention

import dragoman
from dragoman.bundle.store import open_bundle
from dragoman.engines.seq2seq import Decoding
from dragoman.engines.t5.weights import T5Sizes, load_weights, relative_bias
from dragoman.errors import BundleError
from dragoman.text.tokenizer import EOS_ID, Tokenizer
from tests.conftest import ROOT
from tests.t5_reference import Generate, write_random_t5
from tests.unit.test_layout import BLOCKER


def load(folder: Path) -> None:
    load_weights(folder, device="cpu", dtype=torch.float32)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_positions_far_and_near_get_the_buckets_of_transformers(bidirectional):
    sizes = T5Sizes(vocab_size=9, d_model=8, d_kv=2, d_ff=8, num_heads=4, num_layers=1, num_decoder_layers=1)
    offsets = torch.arange(-700, 701)
    bias = torch.randn(4, sizes.relative_attention_num_buckets)
    buckets = T5Attention._relative_position_bucket(offsets, bidirectional=bidirectional)
    assert torch.equal(relative_bias(bias, offsets, sizes, bidirectional=bidirectional), bias[:, buckets])


def test_weights_that_are_no_t5s_are_refused_with_what_is_wrong(tmp_path):
    folder = write_random_t5(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_decoder_layers": 4}))
    with pytest.raises(BundleError, match=r"lack 'decoder\.block\.3"):
        load(folder)
    (folder / "config.json").write_text(json.dumps(config | {"feed_forward_proj": "silu"}))
    with pytest.raises(BundleError, match="feed_forward_proj 'silu'; the torch engine computes relu and gated-gelu"):
        load(folder)
    (folder / "config.json").write_text(json.dumps({name: config[name] for name in config if name != "d_kv"}))
    with pytest.raises(BundleError, match="d_kv"):
        load(folder)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(BundleError, match="cannot load the weights"):
        load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(BundleError, match="cannot load the weights"):
        load(folder)


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """Return a random T5 in shards, as transformers saves what is too large for one file."""
    model = T5ForConditionalGeneration.from_pretrained(write_random_t5(tmp_path / "whole"))
    model.save_pretrained(tmp_path / "sharded", max_shard_size="20KB")
    return tmp_path / "sharded"


def write_index(folder: Path, weight_map: object) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")


def test_weights_in_shards_are_those_of_one_file(sharded):
    assert len(list(sharded.glob("model-*.safetensors"))) > 2
    parts, whole = (
        load_weights(folder, device="cpu", dtype=torch.float32) for folder in (sharded, sharded.parent / "whole")
    )
    assert torch.equal(parts.source_kv, whole.source_kv)
    assert torch.equal(parts.embedding, whole.embedding)
    assert torch.equal(parts.encoder.layers[1].feed_forward.wo, whole.encoder.layers[1].feed_forward.wo)
    assert torch.equal(parts.decoder.norm, whole.decoder.norm)


def test_an_index_names_the_shards_beside_it_and_nothing_else(sharded, tmp_path):
    index = json.loads((sharded / "model.safetensors.index.json").read_text())["weight_map"]
    name, shard = next(iter(index.items()))
    for outside in ("../whole/model.safetensors", str(tmp_path / "whole" / "model.safetensors"), "spiece.model", 7):
        write_index(sharded, index | {name: outside})
        with pytest.raises(BundleError, match="a shard is model-00001-of-00002"):
            load(sharded)
    write_index(sharded, index | {name: "model-00099-of-00099.safetensors"})
    with pytest.raises(BundleError, match=r"model-00099-of-00099\.safetensors, which is not there"):
        load(sharded)
    write_index(sharded, {tensor: file for tensor, file in index.items() if file != shard})
    with pytest.raises(BundleError, match=f"{shard} stands beside"):
        load(sharded)
    write_index(sharded, index | {"no.such.tensor": shard})
    with pytest.raises(BundleError, match=r"do not agree on the tensors of the shard, on no\.such\.tensor"):
        load(sharded)
    for nothing in (None, [], {}):
        write_index(sharded, nothing)
        with pytest.raises(BundleError, match="no weight_map"):
            load(sharded)


def test_the_torch_engine_translates_as_generate_does(tiny_bundle: Path, toy_sentences):
    bundle = open_bundle(tiny_bundle)
    tokenizer = Tokenizer(bundle.model_dir / "spiece.model")
    reference = Generate(bundle.model_dir)
    predictor = dragoman.load(bundle, engine="torch", device="cpu")
    sentences = toy_sentences[:10]
    for outcome, sentence in zip(predictor(sentences), sentences, strict=True):
        ids = [*tokenizer.encode(bundle.manifest.options["preprocessing"]["prefix"] + sentence), EOS_ID]
        (expected,) = reference(ids, Decoding(max_new_tokens=bundle.manifest.options["decoding"]["max_new_tokens"]), 1)
        assert outcome.value.text == tokenizer.decode(expected.ids)
        assert outcome.value.finish_reason == ("stop" if expected.finished else "length")
    predictor.close()


def test_the_torch_engine_needs_no_transformers(tiny_bundle: Path):
    program = BLOCKER.format(blocked={"transformers", "ctranslate2"}) + (
        f"import dragoman; print(dragoman.load({str(tiny_bundle)!r})(['the red car'])[0].value.finish_reason)"
    )
    command = [sys.executable, "-c", program]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert finished.stdout.strip() in ("stop", "length"), finished.stderr
