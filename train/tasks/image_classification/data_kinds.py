"""The kinds of corpora of labelled images; a kind's module is imported when it is asked for."""

import importlib

DATA_KINDS: dict[str, str] = {
    "image_folder": "image_folder:ImageFolder",
    "image_table": "image_table:ImageTable",
    "digits": "digits:Digits",
}
"""By ``data.kind``, the module of ``train.tasks.image_classification.sources`` and the class of a kind of source."""


def data_settings(kind: str) -> type:
    """Import the dataclass of a kind of source."""
    module, _, name = DATA_KINDS[kind].partition(":")
    found: type = getattr(importlib.import_module(f"train.tasks.image_classification.sources.{module}"), name)
    return found
