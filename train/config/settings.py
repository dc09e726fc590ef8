"""The settings of every training run, with their meaning and accepted values; the defaults live in ``configs/``.

A task adds its own sections in a subclass of ``Config``, beside the component that each configures.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from dragoman.bundle.manifest import check_name
from dragoman.errors import ConfigError
from dragoman.strict import Setting

# The kind of the section ``data`` where a model was imported: there is no corpus.
IMPORTED: Literal["import"] = "import"


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """The task that is learnt."""

    name: Annotated[str, Setting("the task, a key of train.task_table.TASKS")]


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Settings of the training loop."""

    seed: Annotated[int, Setting("seed of weights, data order and dropout", minimum=0)]
    device: Annotated[Literal["auto", "cpu", "cuda"], Setting("where to compute; auto takes a GPU if there is one")]
    threads: Annotated[
        int | Literal["auto"], Setting("CPU threads; auto takes OMP_NUM_THREADS, else one per usable core", minimum=1)
    ]
    max_steps: Annotated[
        int | None,
        Setting("optimizer steps; null leaves it to the other limits", minimum=0),
    ]
    max_units: Annotated[
        int | None, Setting("units seen (tokens of texts, or items); null leaves it to the other limits", minimum=1)
    ]
    max_minutes: Annotated[
        float | None, Setting("minutes of the training loop, validation included; null leaves it to the other limits")
    ]
    batch_units: Annotated[int, Setting("units in a batch, its padding included", minimum=1)]
    lr: Annotated[float, Setting("peak learning rate of AdamW", minimum=0)]
    schedule: Annotated[Literal["linear", "inverse_sqrt"], Setting("how the learning rate falls after warm-up")]
    warmup_steps: Annotated[int, Setting("steps over which the learning rate rises", minimum=0)]
    weight_decay: Annotated[float, Setting("decoupled weight decay of AdamW", minimum=0)]
    adam_beta2: Annotated[float, Setting("decay of AdamW's second moment", minimum=0, maximum=0.9999)]
    label_smoothing: Annotated[float, Setting("probability mass spread over all answers", minimum=0, maximum=0.9)]
    clip_norm: Annotated[float, Setting("largest gradient norm", minimum=0.001)]
    bf16: Annotated[
        Literal["auto", "gpu", "off"],
        Setting("bfloat16 where the device computes with it, a CPU too; on a GPU alone; or never"),
    ]
    log_every_steps: Annotated[int, Setting("steps between two points of the loss curve", minimum=1)]
    validate_every_steps: Annotated[int, Setting("steps between two validations", minimum=1)]
    validate_every_units: Annotated[
        int | None, Setting("units between two validations, in the place of steps; null counts steps", minimum=1)
    ]
    validation_samples: Annotated[int, Setting("validation examples that are computed each time", minimum=1)]
    patience: Annotated[
        int | None, Setting("validations without a better objective before stopping; null never stops", minimum=1)
    ]
    checkpoint_every_steps: Annotated[int, Setting("steps between two checkpoints", minimum=1)]
    average_checkpoints: Annotated[
        int, Setting("average this many last checkpoints if that scores better; 1 takes the best alone", minimum=1)
    ]


@dataclass(frozen=True, kw_only=True)
class TrackingSettings:
    """The place where the run is recorded."""

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
    data: Any
    """A task's own dataclass or ``Variants``; its ``name`` is what the corpus is called in scores."""
    model: Any
    """A task's own dataclass or ``Variants``; its ``name`` is what the model is called in reports."""
    train: TrainSettings
    tracking: TrackingSettings

    def problems(self) -> list[str]:
        """List what no single setting shows: contradictions, and values that their types cannot exclude."""
        found = []
        try:
            check_name(self.name)
        except ConfigError as error:
            found.append(str(error))
        if self.train.max_steps is None and self.train.max_units is None and self.train.max_minutes is None:
            found.append(
                "train.max_steps, train.max_units and train.max_minutes are all null: set one, so that training ends"
            )
        if self.train.max_minutes is not None and self.train.max_minutes <= 0:
            found.append(f"train.max_minutes must be more than 0, got {self.train.max_minutes:g}")
        return found

    def corpus_settings(self) -> tuple[object, ...]:
        """Give the sections that decide what the corpus is; runs that agree in them train on the same."""
        return self.task, self.data
