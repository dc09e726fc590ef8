"""Held-out sets of files: their bytes pass from Parquet through the packaged bundle to what the gate measures."""

from pathlib import Path

import pytest
from rich.progress import Progress

from deploy.conformance.corpus import picture
from dragoman.bundle.store import open_bundle
from model_registry.gate.comparison import Competitor
from model_registry.gate.held_out import from_file
from model_registry.gate.measurements import p95_latencies_ms
from model_registry.gate.settings import task_settings
from scoring.held_out import HeldOutItem, write_held_out


@pytest.fixture
def held_out_file(tmp_path: Path) -> Path:
    images = [picture(number, 8 + number % 9, 12) for number in range(60)]
    # One that a server would refuse is no reason to end.
    images[7] = images[7][:40]
    path = tmp_path / "test.parquet"
    write_held_out(path, [HeldOutItem(id=str(n), input=image, reference="cat") for n, image in enumerate(images)])
    return path


def test_files_are_answered_measured_and_the_same_in_every_batch(tiny_images: Path, held_out_file: Path) -> None:
    held_out = from_file(held_out_file)
    competitor = Competitor("candidate", open_bundle(tiny_images))
    settings = task_settings("text_classification")
    assert settings.changed_in_batches_share.max is not None
    with Progress(disable=True) as progress:
        measured = competitor.measure(held_out, settings, None, progress)
    assert all(isinstance(item, bytes) for item in held_out.inputs)
    assert list(measured.outputs.refused) == [7]
    assert measured.outputs.plain[7] == {}
    assert sum(map(bool, measured.outputs.plain)) == 59
    assert measured.changed_in_batches == 0
    (latency,) = p95_latencies_ms([competitor.predictor], held_out.inputs[:9], sample=9)
    assert latency
