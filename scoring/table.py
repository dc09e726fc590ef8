"""The metrics and guards by name; a task names those that fit it."""

import importlib
from collections.abc import Mapping
from typing import Any, cast

from scoring.base import Guard, Metric

METRICS = {
    "chrF": "scoring.translation:ChrF",
    "BLEU": "scoring.translation:Bleu",
    "BLEU-lc": "scoring.translation:LowerCasedBleu",
    "accuracy": "scoring.classification:Accuracy",
    "macro-F1": "scoring.classification:MacroF1",
    "ECE": "scoring.classification:CalibrationError",
}

GUARDS = {
    "length_ratio": "scoring.translation:length_ratio",
    "brevity_penalty": "scoring.translation:brevity_penalty",
    "empty_share": "scoring.translation:empty_share",
    "copied_share": "scoring.translation:copied_share",
    "repeated_share": "scoring.translation:repeated_share",
    "class_recall": "scoring.classification:class_recall",
    "predicted_ratio": "scoring.classification:predicted_ratio",
}


def metric(name: str) -> Metric:
    """Return a new metric; raises ValueError naming the known ones."""
    return cast(Metric, _load("metric", name, METRICS)())


def figure(name: str, value: float) -> str:
    """Write a score for people, given the metric's name in any case, or with two digits where there is no such metric.

    There may be none: another version had it, or the figure is a loss or a time.
    """
    known = {known.lower(): known for known in METRICS}.get(name.lower())
    return f"{value:.2f}" if known is None else metric(known).figure(value)


def guard(name: str) -> Guard:
    """Return a guard's function; raises ValueError naming the known ones."""
    return cast(Guard, _load("guard", name, GUARDS))


def _load(kind: str, name: str, table: Mapping[str, str]) -> Any:
    if name not in table:
        raise ValueError(f"there is no {kind} {name!r}; known are {', '.join(table)}")
    module, _, attribute = table[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
