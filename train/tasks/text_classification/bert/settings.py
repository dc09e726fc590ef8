"""Settings of the BERT that is trained: weights that exist already, or a geometry with random ones."""

from dataclasses import dataclass
from typing import Annotated, Literal

from dragoman.strict import Setting


@dataclass(frozen=True, kw_only=True)
class PretrainedModel:
    """Weights and tokenizer that exist already: an encoder, or a classifier whose classes are these."""

    kind: Literal["pretrained"]
    name: Annotated[str, Setting("what this model is called in reports")]
    path: Annotated[str, Setting("a BERT on the Hugging Face hub, or a directory that holds one")]
    revision: Annotated[str | None, Setting("commit, tag or branch on the hub; null takes its main branch")]
    dropout: Annotated[float, Setting("dropout rate in training", minimum=0, maximum=0.9)]
    masked_tokens: Annotated[
        float, Setting("share of a training text's tokens that [MASK] stands for", minimum=0, maximum=0.9)
    ]
    head_lr_scale: Annotated[
        float, Setting("learning rate of the pooler and the classifier, as a multiple of train.lr", minimum=0)
    ]
    frozen_layers: Annotated[
        int, Setting("lower layers that keep their weights, the embeddings with them; 0 trains all", minimum=0)
    ]


@dataclass(frozen=True, kw_only=True)
class ScratchModel:
    """A BERT with random weights, of as many positions as windows.tokens."""

    kind: Literal["scratch"]
    name: Annotated[str, Setting("what this model is called in reports")]
    dropout: Annotated[float, Setting("dropout rate in training", minimum=0, maximum=0.9)]
    masked_tokens: Annotated[
        float, Setting("share of a training text's tokens that [MASK] stands for", minimum=0, maximum=0.9)
    ]
    d_model: Annotated[int, Setting("width of the residual stream, a multiple of num_heads", minimum=8)]
    d_ff: Annotated[int, Setting("width of the feed-forward layers", minimum=8)]
    num_heads: Annotated[int, Setting("attention heads", minimum=1)]
    num_layers: Annotated[int, Setting("encoder layers", minimum=1)]
    initializer_range: Annotated[
        float, Setting("standard deviation of the random weights, about 1 / sqrt(d_model)", minimum=0.0001)
    ]
    embeddings: Annotated[
        Literal["random", "corpus"],
        Setting("word embeddings at the start: random, or by what the training texts' tokens stand near"),
    ]
    vocab_size: Annotated[int, Setting("WordPiece tokens, learned from the training texts, at most", minimum=64)]


MODEL_KINDS: dict[str, type] = {"pretrained": PretrainedModel, "scratch": ScratchModel}
