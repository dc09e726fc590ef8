"""Settings of the T5 that is trained: weights that exist already, or a geometry with random ones."""

from dataclasses import dataclass
from typing import Annotated, Literal

from dragoman.strict import Setting


@dataclass(frozen=True, kw_only=True)
class PretrainedModel:
    """Weights and tokenizer that exist already."""

    kind: Literal["pretrained"]
    name: Annotated[str, Setting("what this model is called in reports")]
    path: Annotated[str, Setting("a T5 on the Hugging Face hub, or a directory that holds one")]
    revision: Annotated[str | None, Setting("commit, tag or branch on the hub; null takes its main branch")]
    prefix: Annotated[str, Setting("text put before every source; becomes part of the bundle, never of a request")]
    dropout: Annotated[float, Setting("dropout rate in training", minimum=0, maximum=0.9)]
    embedding_lr_scale: Annotated[
        float, Setting("learning rate of the embeddings, as a multiple of train.lr", minimum=0)
    ]


@dataclass(frozen=True, kw_only=True)
class ScratchModel:
    """A T5 with random weights."""

    kind: Literal["scratch"]
    name: Annotated[str, Setting("what this model is called in reports")]
    prefix: Annotated[str, Setting("text put before every source; becomes part of the bundle, never of a request")]
    dropout: Annotated[float, Setting("dropout rate in training", minimum=0, maximum=0.9)]
    embedding_lr_scale: Annotated[
        float, Setting("learning rate of the embeddings, as a multiple of train.lr", minimum=0)
    ]
    d_model: Annotated[int, Setting("width of the residual stream", minimum=8)]
    d_kv: Annotated[int, Setting("width of one attention head", minimum=4)]
    d_ff: Annotated[int, Setting("width of the feed-forward layers", minimum=8)]
    num_heads: Annotated[int, Setting("attention heads", minimum=1)]
    num_layers: Annotated[int, Setting("encoder layers", minimum=1)]
    num_decoder_layers: Annotated[int, Setting("decoder layers", minimum=1)]
    feed_forward: Annotated[Literal["relu", "gated-gelu"], Setting("feed-forward activation")]
    tokenizer_path: Annotated[
        str | None,
        Setting("a spiece.model, or a directory that holds one, found like a corpus; null trains one on the corpus"),
    ]
    vocab_size: Annotated[
        int | Literal["auto"], Setting("pieces of a tokenizer trained here; auto looks at the corpus", minimum=64)
    ]


MODEL_KINDS: dict[str, type] = {"pretrained": PretrainedModel, "scratch": ScratchModel}
