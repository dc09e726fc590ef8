"""Optuna's samplers and pruners for the settings of a search."""

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, WilcoxonPruner
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler

from tune.search.definition import Plan
from tune.search.settings import HyperbandSettings, MedianSettings, WilcoxonSettings
from tune.study.experimental import accepted


def make_sampler(plan: Plan, worker: int) -> BaseSampler:
    """The sampler of one worker: with one seed, all of them would propose the same."""
    settings = plan.search.sampler
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
            group=any(parameter.when for parameter in plan.space.values()),
            constant_liar=True,
        )


def make_pruner(plan: Plan) -> BasePruner:
    """The pruner; steps are units, or folds for Wilcoxon's."""
    search, settings = plan.search, plan.search.pruner
    if isinstance(settings, MedianSettings):
        return MedianPruner(n_startup_trials=settings.startup_trials, n_warmup_steps=settings.warmup_units)
    if isinstance(settings, HyperbandSettings):
        return HyperbandPruner(
            min_resource=settings.min_units or search.report_every_units,
            max_resource=units_of_trial(plan) * search.folds,
            reduction_factor=settings.reduction_factor,
        )
    if isinstance(settings, WilcoxonSettings):
        with accepted():
            return WilcoxonPruner(p_threshold=settings.p_threshold, n_startup_steps=settings.startup_folds)
    return NopPruner()


def units_of_trial(plan: Plan) -> int:
    """The units of one training, on the grid of the reports; where pruning and folds count on it, it is set."""
    every = plan.search.report_every_units
    most = plan.base.train.max_units or 0
    return max(1, -(-most // every)) * every


def directions(plan: Plan) -> list[optuna.study.StudyDirection]:
    """Which way each objective is to go."""
    up, down = optuna.study.StudyDirection.MAXIMIZE, optuna.study.StudyDirection.MINIMIZE
    return [up if plan.rising[name] else down for name in plan.search.objectives]
