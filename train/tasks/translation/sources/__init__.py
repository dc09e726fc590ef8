"""Sources of sentence pairs: frozen dataclasses of settings with one method, ``read(languages) -> Splits``."""
