"""A bundle from a model that exists already: read, convert, score, write; nothing is trained."""

import json
from collections.abc import Sequence
from pathlib import Path

from dragoman import atomic
from dragoman.errors import DataError
from train.config.compose import to_yaml
from train.config.imports import without_folders
from train.config.settings import Config
from train.data.corpus import CleanCorpus, Example, SplitReport, Splits, digest_splits
from train.data.pretrained import CONFIG, require_family
from train.data.test_set import read_test_set
from train.device import use_device
from train.fitting.export import exporting
from train.fitting.prepare import Imported
from train.run import record
from train.run.progress import TrainingProgress
from train.run.recorder import OpenRecorder
from train.run.run_dir import (
    RunDir,
    new_run_dir,
    write_figures,
    write_held_out,
    write_outputs,
    write_pictures,
    write_samples,
)
from train.run.scores import score_table
from train.tasks.base import task_class

UNSCORED = (
    "no scores on a test set: the gate then has no items of its own, and this model and every later one that is "
    "compared with it need some at `promote`, --held-out FILE.parquet or --inputs FILE --references FILE; to score it "
    "now, give test=FILE"
)


def import_model(config: Config, open_recorder: OpenRecorder) -> int:
    """Make the run directory of an import, whole or not at all, and record it; returns the exit status."""
    run, display = new_run_dir(config.run_dir, f"import-{config.name}"), TrainingProgress()
    use_device(config.train.device, config.train.threads)
    task, data = task_class(config.task.name)(config), config.data
    # 1. Read: the family first, because a forgotten task= makes every other message a riddle; then the sets,
    # which are quick to find wrong, then the model, which knows what it can answer.
    if (Path(config.model.path) / CONFIG).is_file():
        require_family(Path(config.model.path), config.task.name)
    test, validation = (
        read_test_set(files, data.columns, task.read_files) if files else []
        for files in (data.files, [Path(data.validation)] if data.validation else [])
    )
    _check_apart(test, validation)
    corpus = _corpus(Splits(name=data.name, train=[], validation=validation, tests={"test": test} if test else {}))
    display.stage(f"reading {config.model.path}")
    model = task.import_model()
    assert task.base_model is not None  # an import starts from weights
    task.check_references(task.options(), [*test, *validation])
    figures = task.finish(model, validation) if validation else {}
    display.stage(f"options of the bundle: {json.dumps(task.options(), ensure_ascii=False)}")

    # 2. Write: the record of this run is not named in the bundle, so that the same model gives the same version.
    named = without_folders(config, task.base_model.name)
    with exporting(Imported(task=task, corpus=corpus, model=model), named, None) as export:
        judged = export.judge(corpus.splits)
        with atomic.directory(run.path) as folder:
            written = RunDir(folder)
            written.config.write_text(to_yaml(config), encoding="utf-8")
            written.corpus.write_text(atomic.to_json(corpus.as_dict()), encoding="utf-8")
            write_figures(written, figures)
            write_samples(written, judged.samples)
            write_outputs(written, judged.outputs)
            write_held_out(written, corpus.splits)
            write_pictures(written, task.pictures(judged.answered))
            export.write(written.bundle, scores=judged.scores)
    if judged.scores:
        display.stage(score_table(judged.scores, []))
    if not test:
        display.stage(UNSCORED)

    # 3. Send.
    record.open_and_send(run, named, corpus.as_dict(), open_recorder)
    print(f"bundle: {run.bundle}")
    return 0


def _check_apart(test: Sequence[Example], validation: Sequence[Example]) -> None:
    """Raise DataError where one of the two sets stands in the other, and the scores would be those of known items."""
    ours, theirs = ({item for item, _ in examples} for examples in (test, validation))
    if ours and theirs and (ours <= theirs or theirs <= ours):
        raise DataError(
            "the items of validation= and of test= are the same: what is fitted to them would be scored by them, and "
            "look better than it is; give other items for one of the two, or leave validation= out"
        )


def _corpus(splits: Splits) -> CleanCorpus:
    """Describe the sets as the corpus of the run: all of them count, as they stand."""
    reports = {name: SplitReport(read=len(found)) for name, found in splits.held_out()}
    return CleanCorpus(splits=splits, digests=digest_splits(splits), reports=reports)
