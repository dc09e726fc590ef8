"""The class that keeps TorchServe's front end from decoding forms is its own one but for a constant."""

import zipfile
from pathlib import Path

import pytest

from deploy.torchserve import undecoded_forms
from deploy.torchserve.config import torchserve_home
from deploy.torchserve.undecoded_forms import HEADER_VALUES, NO_TYPE, write_classes
from dragoman.errors import ConfigError
from dragoman.items.bodies import FORM_TYPE


def test_the_constant_alone_is_another_one_of_its_length(tmp_path: Path) -> None:
    write_classes(tmp_path)
    with zipfile.ZipFile(torchserve_home() / "ts" / "frontend" / "model-server.jar") as jar:
        original = jar.read(HEADER_VALUES)
    written = (tmp_path / HEADER_VALUES).read_bytes()
    assert written.replace(NO_TYPE.encode(), FORM_TYPE.encode()) == original != written


@pytest.mark.parametrize("entry", [HEADER_VALUES, "another/Name.class", None])
def test_another_torchserve_is_refused(entry: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jar = tmp_path / "ts" / "frontend" / "model-server.jar"
    jar.parent.mkdir(parents=True)
    if entry:
        with zipfile.ZipFile(jar, "w") as archive:
            archive.writestr(entry, b"\xca\xfe\xba\xbe")
    monkeypatch.setattr(undecoded_forms, "torchserve_home", lambda: tmp_path)
    with pytest.raises(ConfigError, match=r"install torchserve==0\.12\.0"):
        write_classes(tmp_path / "classes")
