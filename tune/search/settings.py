"""The settings of a search, with their meanings; the searches themselves are the files of ``configs/tune/``."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from dragoman.strict import Setting, Variants

MEASURED = {"p95_latency_ms": False, "size_mb": False}
"""Measurements of a trial's packaged model, beside the task's own figures, and whether more of it is better."""
# One beat may be late and one lost; the third is a dead worker.
GRACE_BEATS = 3


@dataclass(frozen=True, kw_only=True)
class SamplerSettings:
    """The choice of the settings that are tried next."""

    kind: Annotated[
        Literal["tpe", "gp", "random"], Setting("Parzen estimator (TPE), Gaussian process, or random choice")
    ]
    seed: Annotated[int, Setting("seed; each worker adds its own number to it", minimum=0)] = 0
    startup_trials: Annotated[int, Setting("random trials before the sampler learns from them", minimum=1)] = 5


@dataclass(frozen=True, kw_only=True)
class MedianSettings:
    """Median pruning: ends a trial whose best validation is worse than the median at the same number of units."""

    kind: Literal["median"]
    startup_trials: Annotated[int, Setting("complete trials before any is pruned", minimum=1)] = 4
    warmup_units: Annotated[int, Setting("units before a trial may be pruned", minimum=0)] = 0


@dataclass(frozen=True, kw_only=True)
class HyperbandSettings:
    """Hyperband: several successive halvings, which give their trials different numbers of units."""

    kind: Literal["hyperband"]
    min_units: Annotated[
        int | None, Setting("units before the first halving; null is one report_every_units", minimum=1)
    ] = None
    reduction_factor: Annotated[int, Setting("each halving keeps one trial in so many", minimum=2)] = 3


@dataclass(frozen=True, kw_only=True)
class WilcoxonSettings:
    """Signed-rank test: ends a trial that is worse than the best one on the same folds."""

    kind: Literal["wilcoxon"]
    p_threshold: Annotated[float, Setting("largest p-value at which a trial is stopped", minimum=0, maximum=1)] = 0.1
    startup_folds: Annotated[int, Setting("folds before a trial may be pruned", minimum=0)] = 2


@dataclass(frozen=True, kw_only=True)
class NoPruning:
    """No pruning: every trial runs to its end."""

    kind: Literal["none"]


PRUNERS: dict[str, type] = {
    "median": MedianSettings,
    "hyperband": HyperbandSettings,
    "wilcoxon": WilcoxonSettings,
    "none": NoPruning,
}


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """The settings of a study and of a worker; ``SearchDefinition`` adds its space and constraints."""

    study: Annotated[str, Setting("name of the study; workers with the same name and storage share it")]
    storage: Annotated[str, Setting("sqlite:///PATH for one worker, postgresql://USER@HOST/DATABASE for many")]
    trials: Annotated[int | None, Setting("planned trials, all workers together; null leaves it to hours", minimum=1)]
    hours: Annotated[
        float | None, Setting("hours in which this worker begins trials; null leaves it to trials", minimum=0)
    ] = None
    objectives: Annotated[
        tuple[str, ...],
        Setting("one or two of the task's validation figures, p95_latency_ms and size_mb (of the packaged model)"),
    ]
    sampler: SamplerSettings = SamplerSettings(kind="tpe")
    pruner: Annotated[Any, Variants(tuple(PRUNERS), PRUNERS.__getitem__)] = NoPruning(kind="none")
    folds: Annotated[int, Setting("parts of cross-validation; 1 takes the corpus's own validation set", minimum=1)] = 1
    report_every_units: Annotated[
        int, Setting("units between two validations, which the pruner compares", minimum=1)
    ] = 100_000
    max_retries: Annotated[int, Setting("how often a trial is retried after its worker died", minimum=0)] = 3
    heartbeat_seconds: Annotated[
        int, Setting(f"a worker that is silent for {GRACE_BEATS} times as long is declared dead", minimum=1)
    ] = 30
    settings: Annotated[tuple[str, ...], Setting("train settings of every trial and of the final training")] = ()
    trial: Annotated[tuple[str, ...], Setting("train settings of the trials alone")] = ()
    final: Annotated[tuple[str, ...], Setting("train settings of the final training alone")] = ()
    then: Annotated[Literal["train"] | None, Setting("train: the best trial's settings at full length")] = None

    @property
    def grace_seconds(self) -> int:
        """The silence after which a worker counts as dead."""
        return GRACE_BEATS * self.heartbeat_seconds
