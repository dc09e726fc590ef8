"""From trained weights to a bundle: the task's files and conversions, and scores by the engine that ships."""

import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dragoman.bundle.manifest import Provenance, Score
from dragoman.bundle.store import Bundle, open_unsigned, write_bundle
from dragoman.checkout import git_commit
from dragoman.predictor import answer_all, load
from scoring.held_out import label
from train.config.compose import CONFIG_DIR, config_digest, to_yaml
from train.config.settings import Config
from train.data.corpus import Splits, held_out_items
from train.fitting.prepare import Imported, Prepared
from train.run.scores import scores
from train.tasks.base import Answered, Task

# Few enough to be read on one page of the record.
SAMPLES = 20

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The scores of a model and of the baselines, and its outputs for each held-out set, as a row of every item too."""

    scores: list[Score]
    baselines: list[Score]
    outputs: Mapping[str, Sequence[Row]]
    answered: Mapping[str, Answered]

    @property
    def samples(self) -> list[Row]:
        """Sample rows of the first set."""
        rows: Sequence[Row] = next(iter(self.outputs.values()), [])
        chooser = random.Random(0)  # noqa: S311 - a fixed choice, no secret
        return [rows[row] for row in sorted(chooser.sample(range(len(rows)), min(SAMPLES, len(rows))))]


@dataclass(frozen=True, kw_only=True)
class Export:
    """Weights that are written and converted; ``write(directory, scores=…)`` makes a bundle of them."""

    task: Task
    write: Callable[..., Bundle]

    def judge(self, splits: Splits) -> Judged:
        """Score every test set and the validation set, by the engine that ships and from a bundle as it ships.

        The task's baselines learn from the same training examples and are scored alike.
        """
        found: list[Score] = []
        compared: list[Score] = []
        outputs: dict[str, list[Row]] = {}
        answered: dict[str, Answered] = {}
        baselines = self.task.baselines(splits.train) if splits.train else []
        with tempfile.TemporaryDirectory(prefix="dragoman-export-") as folder:
            bundle = self.write(Path(folder) / "bundle", scores=[])
            # Nobody can have signed what was written a moment ago.
            predictor = load(open_unsigned(bundle.path), device="cpu")
            try:
                for name, examples in splits.held_out():
                    items, references = [item for item, _ in examples], [reference for _, reference in examples]
                    test_set = label(splits.name, name, held_out_items(examples))
                    plain = answer_all(predictor, items).plain
                    found += scores(
                        (*self.task.metrics, *splits.further_metrics),
                        plain,
                        references,
                        test_set=test_set,
                        engine=str(predictor.describe()["engine"]),
                    )
                    for baseline in baselines:
                        theirs = baseline.answer(items)
                        compared += scores(
                            baseline.metrics, theirs, references, test_set=test_set, engine=baseline.name
                        )
                    answered[name] = Answered(items, plain, references)
                    outputs[name] = [
                        predictor.task.sample(item, reference, output)
                        for (item, reference), output in zip(examples, plain, strict=True)
                    ]
            finally:
                predictor.close()
        return Judged(scores=found, baselines=compared, outputs=outputs, answered=answered)


@contextmanager
def exporting(prepared: Prepared | Imported, config: Config, run_id: str | None) -> Iterator[Export]:
    """Write and convert the weights as they are now, in a folder that is there while the block lasts."""
    task = prepared.task
    provenance = Provenance(
        mlflow_run_id=run_id,
        git_commit=git_commit(CONFIG_DIR.parent),
        config_digest=config_digest(config),
        corpus_fingerprint=prepared.corpus.fingerprint,
        base_model=task.base_model,
        study=config.study,
        imported=isinstance(prepared, Imported),
    )
    with tempfile.TemporaryDirectory(prefix="dragoman-export-") as temporary:
        folder, model_dir = Path(temporary), Path(temporary) / "model"
        model_dir.mkdir()
        task.write_model(prepared.model, model_dir)
        engines = task.convert(model_dir, folder, prepared.training)
        write = partial(
            write_bundle,
            name=config.name,
            task=config.task.name,
            options=task.options(),
            limits=task.limits(),
            provenance=provenance,
            model_dir=model_dir,
            engines=engines,
            config_yaml=to_yaml(config, portable=True),
        )
        yield Export(task=task, write=write)
