"""The command of training: ``python -m train [key=value …]``, ``… import …``, ``… resume=RUN_DIR``, ``--help``."""

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dragoman.errors import ConfigError, run_cli
from train.config.compose import compose_config, load_config
from train.config.imports import IMPORT, compose_import
from train.run.recorder import Recorder, RunFacts


def main() -> int:
    """Parse, build, call."""
    settings = sys.argv[1:]
    # How long the threads of libgomp spin for each other before they sleep; read when torch is imported. By
    # default two threads all but stop when one of them must share its core with another process, since the other burns
    # its time slice waiting; sleeping sooner costs an idle machine next to nothing.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if {"-h", "--help"} & set(settings):
        from train.config.help import help_text, import_help

        write = import_help if settings[0] == IMPORT else help_text
        print(write([text for text in settings if text.startswith("task=")]))
        return 0
    # Sessions are imported once the settings are known to be right: torch takes seconds.
    if settings[:1] == [IMPORT]:
        imported = compose_import(settings[1:])
        from train.fitting.importing import import_model

        return import_model(imported, _open_mlflow_run)
    resumed = _resumed(settings)
    config = compose_config(settings) if resumed is None else load_config(resumed / "config.yaml")
    from train.session import resume, start

    return start(config, _open_mlflow_run) if resumed is None else resume(config, resumed, _open_mlflow_run)


def _resumed(settings: Sequence[str]) -> Path | None:
    asked = [text.partition("=")[2] for text in settings if text.startswith("resume=")]
    if not asked:
        return None
    if len(settings) > 1 or not asked[0]:
        raise ConfigError(
            f"resume=RUN_DIR stands alone, since a run goes on with its own settings; got {' '.join(settings)}"
        )
    return Path(asked[0])


def _open_mlflow_run(facts: RunFacts) -> Recorder:
    from model_registry.mlflow_store.tracking import TrackedRun

    tags = {**facts.tags, "mlflow.source.name": "python -m train"}
    return TrackedRun.open(**vars(replace(facts, tags=tags)))


if __name__ == "__main__":
    run_cli(main)
