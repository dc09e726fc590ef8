"""Where sentence pairs come from: one module per kind of source, named by ``data.kind``.

Each kind is a frozen dataclass of settings with one method, ``read(languages) -> Splits``.
"""

import importlib

KINDS: dict[str, str] = {
    "phrasebook": "train.tasks.translation.sources.phrasebook:Phrasebook",
    "multi30k": "train.tasks.translation.sources.multi30k:Multi30k",
    "tatoeba": "train.tasks.translation.sources.tatoeba:Tatoeba",
    "newstest": "train.tasks.translation.sources.newstest:Newstest",
    "hub": "train.tasks.translation.sources.hub:Hub",
    "parallel": "train.tasks.translation.sources.parallel:Parallel",
    "table": "train.tasks.translation.sources.table:Table",
}


def settings_class(kind: str) -> type:
    """The dataclass of one kind of source."""
    module, _, name = KINDS[kind].partition(":")
    found: type = getattr(importlib.import_module(module), name)
    return found
