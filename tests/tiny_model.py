"""A T5 with random weights, its vocabulary and its CTranslate2 conversion: a whole bundle in seconds."""

import contextlib
import io
from dataclasses import asdict
from pathlib import Path

from dragoman.bundle.manifest import Provenance, Score
from dragoman.bundle.store import write_bundle
from dragoman.engines.seq2seq import Decoding
from dragoman.tasks.translation.options import Languages, Limits, Options, Preprocessing

# Small, so that tests reach them quickly.
SMALL_LIMITS = Limits(max_characters=400, max_source_tokens=96, max_new_tokens=64, max_items=16, max_body_bytes=20_000)


def write_tiny_bundle(
    folder: Path,
    sentences: list[str],
    *,
    seed: int = 1,
    width: int = 32,
    name: str = "tiny-en-de",
    limits: Limits = SMALL_LIMITS,
) -> Path:
    """Write the bundle into ``folder``/bundle; another seed gives another model over the same vocabulary."""
    model_dir = folder / "model"
    model_dir.mkdir()
    _write_vocabulary(model_dir, sentences)
    _write_weights(model_dir, seed, width)
    _convert(model_dir, folder / "ct2")
    write_bundle(
        folder / "bundle",
        name=name,
        task="translation",
        options=asdict(
            Options(
                languages=Languages(),
                preprocessing=Preprocessing(prefix="translate: "),
                decoding=Decoding(max_new_tokens=24),
            )
        ),
        limits=asdict(limits),
        provenance=Provenance(
            mlflow_run_id=None, git_commit=None, config_digest="0" * 64, corpus_fingerprint="toy", base_model=None
        ),
        scores=[
            Score(
                metric="chrF",
                value=10.0 + seed,
                signature="nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0",
                test_set="toy",
                items=10,
                low=9.0,
                high=12.0,
                engine="ctranslate2",
            )
        ],
        model_dir=model_dir,
        engines={"ct2-int8": folder / "ct2"},
        config_yaml="name: tiny-en-de\n",
    )
    return folder / "bundle"


def _write_vocabulary(model_dir: Path, sentences: list[str]) -> None:
    import sentencepiece
    from transformers import T5Tokenizer

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        vocab_size=120,
        hard_vocab_limit=False,
        character_coverage=1.0,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    (model_dir / "spiece.model").write_bytes(model.getvalue())
    T5Tokenizer.from_pretrained(model_dir, extra_ids=0).save_pretrained(model_dir)


def _write_weights(model_dir: Path, seed: int, width: int) -> None:
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    from dragoman.text.tokenizer import Tokenizer

    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=Tokenizer(model_dir / "spiece.model").size,
        d_model=width,
        d_kv=width // 4,
        d_ff=2 * width,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=4,
        dropout_rate=0.0,
        decoder_start_token_id=0,
    )
    model = T5ForConditionalGeneration(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # Plain random weights repeat one token whatever the source says; louder attention makes outputs differ.
            if "EncDecAttention" in name or name.endswith((".wo.weight", ".o.weight")):
                weight.mul_(3.0)
    model.save_pretrained(model_dir)


def _convert(model_dir: Path, destination: Path) -> None:
    from ctranslate2.converters import TransformersConverter

    with contextlib.redirect_stderr(io.StringIO()):
        TransformersConverter(str(model_dir)).convert(str(destination), quantization="int8")
