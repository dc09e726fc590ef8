"""The kinds of corpora of labelled texts; a kind's module is imported when it is asked for."""

import importlib

DATA_KINDS: dict[str, str] = {
    "labelled": "labelled:Labelled",
    "topics": "topics:Topics",
}
"""By ``data.kind``, the module of ``train.tasks.text_classification.sources`` and the class of a kind of source."""


def data_settings(kind: str) -> type:
    """Import the dataclass of a kind of source."""
    module, _, name = DATA_KINDS[kind].partition(":")
    found: type = getattr(importlib.import_module(f"train.tasks.text_classification.sources.{module}"), name)
    return found
