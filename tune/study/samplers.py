"""Optuna's samplers and pruners for the settings of a search."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, WilcoxonPruner
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler

from tune.search.definition import SearchDefinition
from tune.search.settings import HyperbandSettings, MedianSettings, WilcoxonSettings


@contextmanager
def accepted() -> Iterator[None]:
    """Suppress Optuna's warnings of experimental features: its version is pinned, and their use is tested."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


def make_sampler(definition: SearchDefinition, worker: int) -> BaseSampler:
    """Create the sampler of one worker: with one seed, all of them would propose the same."""
    settings = definition.search.sampler
    seed = settings.seed + worker
    if settings.kind == "random":
        return RandomSampler(seed=seed)
    if settings.kind == "gp":
        return GPSampler(seed=seed, n_startup_trials=settings.startup_trials, warn_independent_sampling=False)
    with accepted():
        return TPESampler(
            seed=seed,
            n_startup_trials=settings.startup_trials,
            multivariate=True,
            # Without groups a setting that counts only under a condition would be chosen apart from all others.
            group=any(parameter.when for parameter in definition.space.values()),
            # Running trials count as bad ones, so that workers do not try the same at once.
            constant_liar=True,
        )


def make_pruner(definition: SearchDefinition) -> BasePruner:
    """Create the pruner; its steps are units, or folds for Wilcoxon's."""
    search, settings = definition.search, definition.search.pruner
    if isinstance(settings, MedianSettings):
        return MedianPruner(n_startup_trials=settings.startup_trials, n_warmup_steps=settings.warmup_units)
    if isinstance(settings, HyperbandSettings):
        return HyperbandPruner(
            min_resource=settings.min_units or search.report_every_units,
            max_resource=units_of_trial(definition) * search.folds,
            reduction_factor=settings.reduction_factor,
        )
    if isinstance(settings, WilcoxonSettings):
        with accepted():
            return WilcoxonPruner(p_threshold=settings.p_threshold, n_startup_steps=settings.startup_folds)
    return NopPruner()


def units_of_trial(definition: SearchDefinition) -> int:
    """Return the units of one training, rounded up to the grid of the reports; 1 interval where none are set."""
    every = definition.search.report_every_units
    most = definition.base.train.max_units or 0
    return max(1, -(-most // every)) * every
