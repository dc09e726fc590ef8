from pathlib import Path

import pytest

from dragoman.errors import DataError
from train.data import folder as data_folder
from train.data.folder import VARIABLE, find_data


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("named", "checkout", "here"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "named"))
    monkeypatch.setattr(data_folder, "IN_CHECKOUT", tmp_path / "checkout")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def test_the_named_folder_comes_before_the_checkouts_and_the_working_directory(folders: Path) -> None:
    for name in ("here", "checkout", "named"):
        (folders / name / "corpus").mkdir()
        assert find_data("corpus", setting="data.path").resolve() == folders / name / "corpus"


def test_an_absolute_path_is_taken_as_it_is(folders: Path) -> None:
    (folders / "elsewhere").mkdir()
    assert find_data(str(folders / "elsewhere"), setting="data.path") == folders / "elsewhere"
    with pytest.raises(DataError, match=r"data\.path: /no/corpus does not exist"):
        find_data("/no/corpus", setting="data.path")


def test_data_that_is_nowhere_is_reported_with_every_place(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=rf"no corpus in \${VARIABLE} \({folders}/named\), nor in {folders}/checkout"):
        find_data("corpus", setting="data.path")
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(DataError, match=rf"\${VARIABLE} \(which is not set\)"):
        find_data("corpus", setting="data.path")
