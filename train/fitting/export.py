"""From trained weights to a bundle: the task's files and conversions, and scores by the engine that ships."""

import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman.bundle.manifest import Provenance, Score
from dragoman.bundle.store import Bundle, open_unsigned, write_bundle
from dragoman.predictor import load
from scoring.held_out import label
from train.config.compose import to_yaml
from train.data.corpus import Splits, held_out_items
from train.run.outputs import answer
from train.run.scores import scores
from train.tasks.base import Encoded, Task

SAMPLES = 20

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a bundle is made from."""

    task: Task
    model: Any
    training: Encoded
    provenance: Provenance


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The scores of a model, and a row of its outputs for every item of each held-out set."""

    scores: list[Score]
    outputs: Mapping[str, Sequence[Row]]

    @property
    def samples(self) -> list[Row]:
        """Some rows of the first set."""
        rows = next(iter(self.outputs.values()))
        chooser = random.Random(0)  # noqa: S311 - a fixed choice, no secret
        return [rows[row] for row in sorted(chooser.sample(range(len(rows)), min(SAMPLES, len(rows))))]


@dataclass(frozen=True, kw_only=True)
class Export:
    """Weights that are written and converted, and can be judged and made a bundle of."""

    contents: Contents
    model_dir: Path
    engines: Mapping[str, Path]

    def judge(self, splits: Splits) -> Judged:
        """Score every test set and the validation set, by the engine that ships and from a bundle as it ships."""
        with tempfile.TemporaryDirectory(prefix="dragoman-export-") as folder:
            return _judge(self.bundle(Path(folder) / "bundle", []).path, self.contents.task, splits)

    def bundle(self, destination: Path, found: Sequence[Score]) -> Bundle:
        """Write the bundle."""
        task = self.contents.task
        return write_bundle(
            destination,
            name=task.config.name,
            task=task.config.task.name,
            options=task.options(),
            limits=task.limits(),
            provenance=self.contents.provenance,
            scores=found,
            model_dir=self.model_dir,
            engines=self.engines,
            config_yaml=to_yaml(task.config, portable=True),
        )


@contextmanager
def exporting(contents: Contents) -> Iterator[Export]:
    """Write and convert weights, in a folder that is there while the block lasts."""
    with tempfile.TemporaryDirectory(prefix="dragoman-export-") as temporary:
        folder, model_dir = Path(temporary), Path(temporary) / "model"
        model_dir.mkdir()
        contents.task.write_model(contents.model, model_dir)
        engines = contents.task.convert(model_dir, folder, contents.training)
        yield Export(contents=contents, model_dir=model_dir, engines=engines)


def _judge(bundle: Path, task: Task, splits: Splits) -> Judged:
    found: list[Score] = []
    outputs: dict[str, list[Row]] = {}
    # Nobody can have signed what was written a moment ago.
    predictor = load(open_unsigned(bundle), device="cpu")
    try:
        for name, examples in [*splits.tests.items(), ("validation", splits.validation)]:
            answered = answer(predictor, [item for item, _ in examples]).outputs
            found += scores(
                (*task.metrics, *splits.further_metrics),
                answered,
                [reference for _, reference in examples],
                test_set=label(splits.name, name, held_out_items(examples)),
                engine=str(predictor.describe()["engine"]),
            )
            outputs[name] = [
                predictor.task.sample(item, reference, output)
                for (item, reference), output in zip(examples, answered, strict=True)
            ]
    finally:
        predictor.close()
    return Judged(scores=found, outputs=outputs)
