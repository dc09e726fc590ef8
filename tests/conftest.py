"""Fixtures of all tests: a folder sets the tier, and a tiny bundle with random weights stands for a trained one."""

import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from train.tasks.torchvision_pair import pair_torchvision

# One thread a process: several servers and engines share two cores here, and larger pools collapse when they do.
os.environ["OMP_NUM_THREADS"] = "1"
# What engines found out of this machine is kept where the other caches of tests are, and not in the user's own.
os.environ["DRAGOMAN_CACHE"] = str(Path(__file__).resolve().parent.parent / ".pytest_cache" / "dragoman")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["BENTOML_DO_NOT_TRACK"] = "true"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

# Tests import transformers, and with it torchvision, before anything of ours does.
pair_torchvision()

# Files of tests lie in memory where there is room: SQLite and bundles wait for the disk at each commit, for a third of
# the suite's time. Not where programs cannot be started from there, as in many containers.
MEMORY, ROOM_BYTES = Path("/dev/shm"), 4 << 30
if MEMORY.is_dir():
    room = os.statvfs(MEMORY)
    if room.f_bavail * room.f_frsize >= ROOM_BYTES and not room.f_flag & os.ST_NOEXEC:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = Path(os.environ.get("DRAGOMAN_DATA") or ROOT.parent / "shared" / "data")
TIERS = ("unit", "integration", "serving", "gpu")
# The fixture of a small bundle of each task.
BUNDLES = {
    "translation": "tiny_bundle",
    "text_classification": "tiny_classifier",
    "image_classification": "tiny_images",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        tier = item.path.relative_to(ROOT / "tests").parts[0]
        item.add_marker(getattr(pytest.mark, tier))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the real data sets are not at {SHARED_DATA}; DRAGOMAN_DATA names their folder")
    return SHARED_DATA


@pytest.fixture(scope="session")
def toy_sentences() -> list[str]:
    """Return four hundred English-like sentences of known words, for vocabularies and for requests."""
    chooser = random.Random(7)
    subjects = ["The man", "A woman", "My sister", "The old teacher", "Our dog", "The little boy"]
    verbs = ["sees", "buys", "is looking for", "does not like", "brings", "would like to have"]
    objects = ["the red car", "two tickets", "a cup of tea", "the station", "some bread", "an umbrella, please"]
    ends = ["today.", "tomorrow morning.", "in the city.", "at half past three.", "again!", "with 12 friends."]
    return [" ".join(chooser.choice(part) for part in (subjects, verbs, objects, ends)) for _ in range(400)]


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory, toy_sentences: list[str]) -> Path:
    """Write a bundle whose model has random weights: every property of serving but quality can be tested on it."""
    from tests.tiny_model import write_tiny_bundle

    return write_tiny_bundle(tmp_path_factory.mktemp("tiny"), toy_sentences)


@pytest.fixture(scope="session")
def tiny_classifier(tmp_path_factory: pytest.TempPathFactory, toy_sentences: list[str]) -> Path:
    """Write the bundle of a classifier with random weights, and the limits that bundles have by default."""
    from dragoman.tasks.text_classification.options import Limits
    from tests.tiny_classifier import write_tiny_classifier

    return write_tiny_classifier(tmp_path_factory.mktemp("classifier"), toy_sentences, limits=Limits())


@pytest.fixture(scope="session")
def tiny_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the bundle of a classifier of images with random weights, and the limits that bundles have by default."""
    from dragoman.tasks.image_classification.options import Limits
    from tests.tiny_images import write_tiny_images

    return write_tiny_images(tmp_path_factory.mktemp("images"), limits=Limits())


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Make a folder with a name so short that TorchServe's sockets below it stay within 107 bytes."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
