"""Register, promote, roll back, fetch and package bundles: ``python -m model_registry COMMAND --help``."""

import logging

from dragoman.errors import run_cli
from model_registry.command_line import main

if __name__ == "__main__":
    # Progress of ours only: the messages of all libraries would drown it.
    logger = logging.getLogger("model_registry")
    logger.setLevel(logging.INFO)
    logger.addHandler(logging.StreamHandler())
    run_cli(main)
