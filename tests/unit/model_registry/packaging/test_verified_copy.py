import shutil
from pathlib import Path

import pytest

from dragoman.bundle.signature import SIGNATURE
from dragoman.bundle.store import Bundle, open_bundle
from dragoman.errors import BundleError
from model_registry.packaging.verified_copy import copy_bundle


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Bundle:
    return open_bundle(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def test_a_copy_is_the_bundle_with_its_signature_and_nothing_else(bundle: Bundle, tmp_path: Path) -> None:
    (bundle.path / SIGNATURE).write_bytes(b"signature")
    (bundle.path / "added.py").write_text("print('since it was opened')")
    copy_bundle(bundle, tmp_path / "copy")
    assert open_bundle(tmp_path / "copy").manifest == bundle.manifest
    assert (tmp_path / "copy" / SIGNATURE).read_bytes() == b"signature"
    assert not (tmp_path / "copy" / "added.py").exists()


def test_a_file_that_changed_since_the_bundle_was_opened_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    (bundle.path / "config.yaml").write_text("changed: true\n")
    with pytest.raises(BundleError, match=r"artifact digest mismatch: .*config\.yaml expected sha256:\w+ got sha256:"):
        copy_bundle(bundle, tmp_path / "copy")


def test_a_manifest_that_changed_since_the_bundle_was_opened_is_not_copied(bundle: Bundle, tmp_path: Path) -> None:
    (bundle.path / "manifest.json").write_text("{}")
    copy_bundle(bundle, tmp_path / "copy")
    assert open_bundle(tmp_path / "copy").manifest == bundle.manifest
