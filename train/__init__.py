"""From a corpus to a bundle: configuration, data, training loop, scoring, export (``python -m train --help``)."""
