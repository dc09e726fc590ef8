"""The BERT that is trained: made from random weights or pretrained ones, written in Hugging Face layout."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer

from dragoman.bundle.manifest import BaseModel
from dragoman.errors import BundleError, DataError
from dragoman.tasks.classification import fits_a_line
from dragoman.text.wordpiece import WordPiece
from train.data.pretrained import Pretrained, find_pretrained
from train.tasks.text_classification.bert.embeddings import corpus_embeddings
from train.tasks.text_classification.bert.quiet import quiet
from train.tasks.text_classification.bert.settings import PretrainedModel, ScratchModel
from train.tasks.text_classification.bert.vocabulary import TOKENIZER, tokenizer_config, train_tokenizer
from train.tasks.torchvision_pair import pair_torchvision

# transformers imports torchvision with its first model.
pair_torchvision()

FILES = ("config.json", "model.safetensors", TOKENIZER)
# What makes two BERTs compute the same; the rest of a configuration is about training, or about other programs.
GEOMETRY = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act",
    "max_position_embeddings", "type_vocab_size", "layer_norm_eps", "pad_token_id", "initializer_range",
)  # fmt: skip
# The activations that the conversion knows.
ACTIVATIONS = (
    "gelu",
    "gelu_fast",
    "gelu_new",
    "gelu_python",
    "gelu_pytorch_tanh",
    "quick_gelu",
    "relu",
    "silu",
    "swish",
)
ARCHITECTURE = "BertForSequenceClassification"
# What such a model may be for, other than choosing one class of several.
OTHER_PROBLEMS = ("regression", "multi_label_classification")
HEAD_BIAS = "classifier.bias"
# What a head without names for its classes calls them.
NAMELESS = "LABEL_"
HINTS = {
    TOKENIZER: f'{TOKENIZER} is made of vocab.txt by the line: python -c "import transformers; '
    "transformers.AutoTokenizer.from_pretrained('{folder}').save_pretrained('{folder}')\""
}


@dataclass(frozen=True, kw_only=True)
class PreparedModel:
    """A model to train with its tokenizer, and its labels in the order of its outputs.

    ``has_head`` is true where the classifier was trained before; ``base_model`` are the weights it starts from, if any.
    """

    model: Any
    tokenizer: WordPiece
    tokenizer_json: bytes
    mask_id: int | None
    labels: tuple[str, ...]
    has_head: bool = False
    base_model: BaseModel | None = None


def scratch_model(
    settings: ScratchModel,
    labels: Sequence[str],
    texts: Sequence[str],
    tokenizer_json: bytes | None,
    *,
    positions: int,
    seed: int,
) -> PreparedModel:
    """Build a model of random weights; ``texts`` teach it a vocabulary, where none is given, and its words."""
    if tokenizer_json is None:
        tokenizer_json = train_tokenizer(texts, settings.vocab_size)
    tokenizer = open_tokenizer(tokenizer_json)
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=tokenizer.size,
        hidden_size=settings.d_model,
        num_hidden_layers=settings.num_layers,
        num_attention_heads=settings.num_heads,
        intermediate_size=settings.d_ff,
        max_position_embeddings=positions,
        initializer_range=settings.initializer_range,
        hidden_dropout_prob=settings.dropout,
        attention_probs_dropout_prob=settings.dropout,
        pad_token_id=tokenizer.pad_id,
        **_fixed(labels),
    )
    model = transformers.BertForSequenceClassification(config)
    if settings.embeddings == "corpus":
        rows = torch.from_numpy(
            corpus_embeddings(
                [np.array(tokenizer.encode(text), dtype=np.int32) for text in texts],
                tokens=tokenizer.size,
                width=settings.d_model,
                deviation=settings.initializer_range,
            )
        )
        known = rows.any(dim=1)
        with torch.no_grad():
            model.bert.embeddings.word_embeddings.weight[known] = rows[known]
    return PreparedModel(
        model=model,
        tokenizer=tokenizer,
        tokenizer_json=tokenizer_json,
        mask_id=Tokenizer.from_str(tokenizer_json.decode("utf-8")).token_to_id("[MASK]"),
        labels=tuple(labels),
    )


def pretrained_model(
    settings: PretrainedModel, labels: Sequence[str], *, named: bool, positions: int, seed: int
) -> PreparedModel:
    """Load a model, with its head where that is for these labels, in whatever order; raises DataError.

    With ``named``, labels were given in the order of the outputs, which counts where the head has no names for them.
    """
    found = _find(settings)
    head = _head_labels(found.folder, labels, named=named)
    return _loaded(settings, found, head or labels, with_head=head is not None, positions=positions, seed=seed)


def imported_model(settings: PretrainedModel, names: Sequence[str] | None, *, positions: int) -> PreparedModel:
    """Load a classifier as it is; ``names`` are for its classes in the order of its outputs, None takes its own.

    Raises DataError for a model without a classifier of that many classes, or without names for them.
    """
    found = _find(settings)
    config = _read_config(found.folder)
    own = _own_labels(found.folder, config)
    if own is None:
        raise DataError(
            f"{found.folder} has no classifier, but {' and '.join(config.get('architectures') or ['nothing'])} "
            f"(architectures in config.json; {ARCHITECTURE} is needed); train one on texts of yours: "
            f"python -m train task=text_classification data=… model=bert_base model.path={settings.path}"
        )
    if len(own) < 2 or config.get("problem_type") in OTHER_PROBLEMS:
        raise DataError(
            f"{found.folder} does not choose one of several classes: it has {len(own)} of them and problem_type "
            f"{config.get('problem_type')!r}"
        )
    if names is not None and len(names) != len(own):
        raise DataError(
            f"classes.names has {len(names)} names, but {found.folder} has {len(own)} classes: {', '.join(own)}"
        )
    if names is None and (_are_nameless(own) or len(set(own)) < len(own) or not all(map(fits_a_line, own))):
        shown = ", ".join(name if fits_a_line(name) else repr(name) for name in own)
        raise DataError(
            f"{found.folder} calls its classes {shown}, which names none, or not each in a line; name them in this "
            f"order: classes.names=[{','.join(f'name{row}' for row in range(len(own)))}]"
        )
    # Its own names in another order are no new ones. The seed is of weights that are missing, and here none may be.
    labels = own if names is None or sorted(names) == sorted(own) else names
    return _loaded(settings, found, labels, with_head=True, positions=positions, seed=0)


def _find(settings: PretrainedModel) -> Pretrained:
    return find_pretrained(settings.path, settings.revision, FILES, task="text_classification", hints=HINTS)


def _loaded(
    settings: PretrainedModel, found: Pretrained, labels: Sequence[str], *, with_head: bool, positions: int, seed: int
) -> PreparedModel:
    given = _read_config(found.folder)
    config = transformers.BertConfig(
        **{key: given[key] for key in GEOMETRY if key in given},
        hidden_dropout_prob=settings.dropout,
        attention_probs_dropout_prob=settings.dropout,
        **_fixed(labels),
    )
    if positions > config.max_position_embeddings:
        raise DataError(
            f"windows.tokens is {positions}, but {found.folder} has {config.max_position_embeddings} positions; set "
            f"windows.tokens={config.max_position_embeddings} or less"
        )
    if settings.frozen_layers > config.num_hidden_layers:
        raise DataError(
            f"model.frozen_layers is {settings.frozen_layers}, but {found.folder} has {config.num_hidden_layers} layers"
        )
    tokenizer_json = (found.folder / TOKENIZER).read_bytes()
    tokenizer = open_tokenizer(tokenizer_json, origin=found.folder / TOKENIZER)
    if tokenizer.size > config.vocab_size:
        raise DataError(f"{found.folder} has {tokenizer.size} tokens but weights for {config.vocab_size}")
    return PreparedModel(
        model=_load(found, config, seed=seed, with_head=with_head),
        tokenizer=tokenizer,
        tokenizer_json=tokenizer_json,
        mask_id=Tokenizer.from_str(tokenizer_json.decode("utf-8")).token_to_id("[MASK]"),
        labels=tuple(labels),
        has_head=with_head,
        base_model=found.base_model,
    )


def open_tokenizer(tokenizer_json: bytes, origin: Path | None = None) -> WordPiece:
    """Open the tokenizer that a file's content describes; raises DataError naming where it came from."""
    with tempfile.TemporaryDirectory(prefix="dragoman-tokenizer-") as folder:
        (Path(folder) / TOKENIZER).write_bytes(tokenizer_json)
        try:
            return WordPiece(Path(folder) / TOKENIZER)
        except BundleError as error:
            raise DataError(f"{origin or TOKENIZER}: {error}") from error


def parameter_groups(model: Any, settings: PretrainedModel | ScratchModel) -> list[dict[str, Any]]:
    """Make the optimizer's groups: of a pretrained model the head, whose learning rate is scaled, and the rest."""
    if isinstance(settings, ScratchModel):
        return [{"params": list(model.parameters()), "lr_scale": 1.0}]
    if settings.frozen_layers:
        frozen = [model.bert.embeddings, *model.bert.encoder.layer[: settings.frozen_layers]]
        for module in frozen:
            module.requires_grad_(False)
    head = [*model.bert.pooler.parameters(), *model.classifier.parameters()]
    known = {id(parameter) for parameter in head}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in known and parameter.requires_grad]
    groups = [{"params": head, "lr_scale": settings.head_lr_scale}]
    return [*groups, {"params": rest, "lr_scale": 1.0}] if rest else groups


def write_model(model: Any, tokenizer_json: bytes, folder: Path) -> None:
    """Write weights, configuration and tokenizer in Hugging Face layout; the same weights give the same bytes."""
    with quiet():
        model.save_pretrained(folder)
    (folder / TOKENIZER).write_bytes(tokenizer_json)
    config = tokenizer_config(tokenizer_json, model.config.max_position_embeddings)
    (folder / "tokenizer_config.json").write_text(config, encoding="utf-8")


def _fixed(labels: Sequence[str]) -> dict[str, Any]:
    return {
        "id2label": dict(enumerate(labels)),
        "label2id": {label: row for row, label in enumerate(labels)},
        # The only one since transformers 5, which no longer writes it; the conversion asks for it.
        "position_embedding_type": "absolute",
    }


def _read_config(folder: Path) -> Mapping[str, Any]:
    path = folder / "config.json"
    try:
        config: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"cannot read {path}: {error}") from error
    if config.get("is_decoder") or config.get("position_embedding_type", "absolute") != "absolute":
        raise DataError(f"{path} describes a decoder, or positions that are not absolute; an encoder as BERT is needed")
    if (activation := config.get("hidden_act", "gelu")) not in ACTIVATIONS:
        # The conversion would fail, but only after training.
        raise DataError(f"{path} has hidden_act {activation!r}; known are {', '.join(ACTIVATIONS)}")
    found: Mapping[str, Any] = config
    return found


def _head_labels(folder: Path, labels: Sequence[str], *, named: bool) -> tuple[str, ...] | None:
    """Return the labels of a checkpoint's head in its order if it is for these labels, or None."""
    config = _read_config(folder)
    own = _own_labels(folder, config)
    if own is None or config.get("problem_type") in OTHER_PROBLEMS:
        return None
    if sorted(own) == sorted(labels):
        return own
    return tuple(labels) if _are_nameless(own) and named and len(own) == len(labels) else None


def _own_labels(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return what a checkpoint calls its classes, in the order of its outputs; None where it has no classifier."""
    if ARCHITECTURE not in (config.get("architectures") or ()):
        return None
    # Programs other than transformers may write no names at all.
    names = config.get("id2label") or {str(row): f"{NAMELESS}{row}" for row in range(_count_classes(folder))}
    if not isinstance(names, Mapping) or not all(row.isdecimal() for row in names):
        raise DataError(
            f"{folder / 'config.json'} has an id2label that is no list of names by their numbers, such as "
            f'{{"0": "no", "1": "yes"}}, got {names!r:.80}'
        )
    return tuple(str(names[row]) for row in sorted(names, key=int))


def _count_classes(folder: Path) -> int:
    """Count the outputs of the classifier; a file without one is refused when it is loaded."""
    try:
        with safe_open(folder / "model.safetensors", framework="numpy") as weights:
            return int(weights.get_slice(HEAD_BIAS).get_shape()[0]) if HEAD_BIAS in weights.keys() else 2  # noqa: SIM118
    except SafetensorError as error:
        raise DataError(f"cannot read {folder / 'model.safetensors'}: {error}") from error


def _are_nameless(labels: Sequence[str]) -> bool:
    return all(name == f"{NAMELESS}{row}" for row, name in enumerate(labels))


def _load(found: Pretrained, config: Any, *, seed: int, with_head: bool) -> Any:
    """Read the weights; those of the head and of a pooler that is not there are random."""
    torch.manual_seed(seed)
    try:
        with quiet():
            model, info = transformers.BertForSequenceClassification.from_pretrained(
                found.folder,
                config=config,
                local_files_only=True,
                dtype=torch.float32,
                ignore_mismatched_sizes=not with_head,
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"cannot load the model in {found.folder}: {str(error).splitlines()[0]}") from error
    allowed = () if with_head else ("classifier.", "bert.pooler.")
    missing = sorted(name for name in info["missing_keys"] if not name.startswith(allowed))
    mismatched = sorted(str(key[0]) for key in info["mismatched_keys"] if not str(key[0]).startswith("classifier."))
    if lacking := [*missing, *mismatched]:
        raise DataError(f"{found.folder} lacks weights that its config.json asks for, such as {lacking[0]}")
    return model
