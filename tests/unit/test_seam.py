"""The road knows no task: nothing but the tables, the tasks and what bears a task's name speaks of one."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

WORDS = re.compile(
    r"t5|translat|chrf|bleu|sacrebleu|spiece|sentencepiece|languages|beam|num_hyp|german|libretranslate|multi30k|newstest"
    r"|bert|classif|\br8\b|wordpiece|minilm|tf-?idf|svm|\bf1\b|mcnemar|\barticles?\b|\btopics?\b"
    # Not `digits` and `pictures`: the road writes numbers with digits, and keeps what every task draws of its outputs.
    r"|onnx|timm\b|torchvision|resnet|imagenet|cifar|pillow|\bpil\b|jpe?g|webp|exif|pixel|\brgb|\bcnn\b|convolution"
    r"|augment|\bphotos?\b|handwrit",
    re.IGNORECASE,
)
# An image is a container's where servers are packed and run; elsewhere the word would speak of a task.
IMAGES = re.compile(r"(?<!container )\bimages?\b", re.IGNORECASE)
OF_CONTAINERS = ("deploy/", "service.py")
# The one line of each table that names a task, its parts, its metrics and its guards.
TABLE_LINE = re.compile(r'^    "[\w-]+": "[\w.]+:\w+",$')
TABLES = {"dragoman/task_table.py", "train/task_table.py", "scoring/table.py"}
# Where words of a task belong: its folders, the tokenizers of families of models, and files that bear its name.
OF_A_TASK = ("dragoman/tasks/", "dragoman/engines/", "dragoman/text/", "train/tasks/", "benchmarks/results/")
# What the metrics of a task, its benchmarks and its requests bear in their names.
NAMES = ("translation", "classification")


def road() -> list[str]:
    """Every file of the road that could speak of a task."""
    patterns = ["dragoman/*.py", "service.py", "train/*.py", "tune/*.py", "model_registry/*.py", "scoring/*.py"]
    patterns += ["deploy/*.py", "deploy/*.yaml", "deploy/*.yml", "deploy/*.json", "benchmarks/*.py", "handlers/*.py"]
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    names = [name for name in listed.stdout.split() if not name.startswith(OF_A_TASK)]
    return [name for name in names if not any(word in name for word in NAMES)]


def spoken_of(name: str) -> list[str]:
    lines = (ROOT / name).read_text("utf-8").splitlines()
    in_table = name in TABLES
    words = [WORDS] if name.startswith(OF_CONTAINERS) else [WORDS, IMAGES]
    return [
        f"{name}:{number}: {line.strip()}"
        for number, line in enumerate(lines, start=1)
        if any(word.search(line) for word in words) and not (in_table and TABLE_LINE.match(line))
    ]


def test_nothing_on_the_road_names_a_task_or_a_family_of_models() -> None:
    names = road()
    assert len(names) > 200
    assert [found for name in names for found in spoken_of(name)] == []


@pytest.mark.parametrize(
    "line", ["# beams", "import sacrebleu", '    "x": translate(1),', "# a BERT", "import onnxruntime", "# an image"]
)
def test_what_the_search_looks_for_is_found(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    for name in ("dragoman/task_table.py", "train/loop.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(
            f'TASKS = {{\n    "translation": "dragoman.tasks.translation.task:Task",\n{line}\n}}\n'
        )
    assert len(spoken_of("dragoman/task_table.py")) == 1
    assert len(spoken_of("train/loop.py")) == 2


def test_container_images_may_be_spoken_of_where_servers_are_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    for name in ("deploy/smoke.py", "train/loop.py"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("# builds an image\n# runs a container image\n# decodes a JPEG\n")
    assert [line.partition(" ")[2] for line in spoken_of("deploy/smoke.py")] == ["# decodes a JPEG"]
    assert [line.partition(" ")[2] for line in spoken_of("train/loop.py")] == ["# builds an image", "# decodes a JPEG"]
