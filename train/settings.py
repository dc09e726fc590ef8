"""Every setting of a training run, with its meaning and its accepted values; the defaults live in ``configs/``."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from dragoman.tasks.translation_request import MAX_LENGTH_PENALTY

from dragoman.manifest import NAME_PATTERN, Decoding, Limits
from train.sources import KINDS as DATA_KINDS
from train.sources import settings_class as data_settings_class
from train.strict import Setting, Variants
from train.tasks import TASKS

ENGLISH_TO_GERMAN = "translate English to German: "


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """What is learnt."""

    name: Annotated[str, Setting("the task, a key of train.tasks.TASKS")]
    source: Annotated[str, Setting("language translated from, ISO 639-1 code")]
    target: Annotated[str, Setting("language translated to, ISO 639-1 code")]


@dataclass(frozen=True, kw_only=True)
class PretrainedModel:
    """Weights and tokenizer that exist already."""

    kind: Literal["pretrained"]
    name: Annotated[str, Setting("what this model is called in reports")]
    path: Annotated[str, Setting("a T5 on the Hugging Face hub, or a directory that holds one")]
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
        str | None, Setting("a spiece.model, or a directory that holds one; null trains one on the corpus")
    ]
    vocab_size: Annotated[
        int | Literal["auto"], Setting("pieces of a tokenizer trained here; auto looks at the corpus", minimum=64)
    ]


@dataclass(frozen=True, kw_only=True)
class CleaningSettings:
    """Which training pairs are left out."""

    max_characters: Annotated[int, Setting("longest source or target, in characters", minimum=1)]
    max_tokens: Annotated[int, Setting("longest source or target, in tokens with the end mark", minimum=2)]
    max_length_ratio: Annotated[float, Setting("longer side over shorter side, in characters", minimum=1)]
    min_script_share: Annotated[
        float, Setting("least share of letters in the script of the language; 0 allows any", minimum=0, maximum=1)
    ]


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How the weights are found."""

    seed: Annotated[int, Setting("seed of weights, data order and dropout", minimum=0)]
    device: Annotated[Literal["auto", "cpu", "cuda"], Setting("where to compute; auto takes a GPU if there is one")]
    threads: Annotated[
        int | Literal["auto"], Setting("CPU threads; auto takes OMP_NUM_THREADS, else one per usable core", minimum=1)
    ]
    max_steps: Annotated[int | None, Setting("optimizer steps; null leaves it to the other limits", minimum=1)]
    max_tokens: Annotated[
        int | None, Setting("source and target tokens seen; null leaves it to the other limits", minimum=1)
    ]
    max_minutes: Annotated[
        float | None, Setting("minutes of the training loop, validation included; null leaves it to the other limits")
    ]
    batch_tokens: Annotated[int, Setting("padded source and target tokens in a batch", minimum=16)]
    lr: Annotated[float, Setting("peak learning rate of AdamW", minimum=0)]
    schedule: Annotated[Literal["linear", "inverse_sqrt"], Setting("how the learning rate falls after warm-up")]
    warmup_steps: Annotated[int, Setting("steps over which the learning rate rises", minimum=0)]
    weight_decay: Annotated[float, Setting("decoupled weight decay of AdamW", minimum=0)]
    adam_beta2: Annotated[float, Setting("decay of AdamW's second moment", minimum=0, maximum=0.9999)]
    label_smoothing: Annotated[float, Setting("probability mass spread over the vocabulary", minimum=0, maximum=0.9)]
    clip_norm: Annotated[float, Setting("largest gradient norm", minimum=0.001)]
    bf16: Annotated[Literal["auto", "off"], Setting("bfloat16 where the device has it, or never")]
    log_every_steps: Annotated[int, Setting("steps between two points of the loss curve", minimum=1)]
    validate_every_steps: Annotated[int, Setting("steps between two validations", minimum=1)]
    validate_every_tokens: Annotated[
        int | None, Setting("tokens between two validations, in the place of steps; null counts steps", minimum=1)
    ]
    validation_samples: Annotated[int, Setting("validation pairs that are decoded each time", minimum=1)]
    patience: Annotated[
        int | None, Setting("validations without a better chrF before stopping; null never stops early", minimum=1)
    ]
    checkpoint_every_steps: Annotated[int, Setting("steps between two checkpoints", minimum=1)]
    average_checkpoints: Annotated[
        int, Setting("average this many last checkpoints if that scores better; 1 takes the best alone", minimum=1)
    ]


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """How the trained weights are packaged."""

    target_vocabulary: Annotated[
        Literal["all", "corpus"],
        Setting("pieces that int8 translations may hold: all, or those of the training corpus (faster: fewer logits)"),
    ]


@dataclass(frozen=True, kw_only=True)
class TrackingSettings:
    """Where the run is recorded."""

    enabled: Annotated[bool, Setting("record the run in MLflow")]
    uri: Annotated[str | None, Setting("tracking server or database; null takes MLFLOW_TRACKING_URI or sqlite")]
    experiment: Annotated[str, Setting("MLflow experiment")]


@dataclass(frozen=True, kw_only=True)
class Config:
    """One training run."""

    name: Annotated[str, Setting("name of the bundle and of the registered model")]
    run_dir: Annotated[str | None, Setting("directory of the run; null makes one under runs/")]
    study: Annotated[str | None, Setting("the trial that found these settings, STUDY/trial-7; set by python -m tune")]
    task: TaskSettings
    data: Annotated[Any, Variants(tuple(DATA_KINDS), data_settings_class)]
    model: Annotated[Any, Variants(("pretrained", "scratch"), lambda kind: MODEL_KINDS[kind])]
    cleaning: CleaningSettings
    train: TrainSettings
    decoding: Decoding
    limits: Limits
    export: ExportSettings
    tracking: TrackingSettings

    def problems(self) -> list[str]:
        """What no single setting shows: contradictions between them, and values their types cannot exclude."""
        found = []
        if not NAME_PATTERN.fullmatch(self.name):
            found.append(
                f"name must be lower-case letters and digits, with '.', '_' or '-' between them, at most 63, "
                f"got {self.name!r}"
            )
        if self.task.name not in TASKS:
            found.append(f"task.name must be one of {', '.join(TASKS)}, got {self.task.name!r}")
        if self.train.max_steps is None and self.train.max_tokens is None and self.train.max_minutes is None:
            found.append(
                "train.max_steps, train.max_tokens and train.max_minutes are all null: set one, so that training ends"
            )
        if self.train.max_minutes is not None and self.train.max_minutes <= 0:
            found.append(f"train.max_minutes must be more than 0, got {self.train.max_minutes:g}")
        for section in ("decoding", "limits"):
            for key, value in vars(getattr(self, section)).items():
                if key != "length_penalty" and value < 1:
                    found.append(f"{section}.{key} must be at least 1, got {value}")
        if not 0 <= self.decoding.length_penalty <= MAX_LENGTH_PENALTY:
            found.append(
                f"decoding.length_penalty must be between 0 and {MAX_LENGTH_PENALTY:g}, "
                f"got {self.decoding.length_penalty:g}"
            )
        pair = (self.task.source, self.task.target)
        if isinstance(self.model, PretrainedModel) and self.model.prefix == ENGLISH_TO_GERMAN and pair != ("en", "de"):
            found.append(
                f"model.prefix is {ENGLISH_TO_GERMAN!r}, but the task translates from {pair[0]} to {pair[1]}: name "
                "those languages, such as model.prefix='translate German to English: ' (T5 was pretrained to "
                "translate from English only)"
            )
        for key, most in (("num_beams", "max_beams"), ("max_new_tokens", "max_new_tokens")):
            value, limit = getattr(self.decoding, key), getattr(self.limits, most)
            if value > limit:
                found.append(f"decoding.{key} must be at most limits.{most}, {limit}, got {value}")
        return found


MODEL_KINDS: dict[str, type] = {"pretrained": PretrainedModel, "scratch": ScratchModel}
