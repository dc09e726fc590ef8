import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from mlflow.exceptions import MlflowException

from dragoman.errors import BundleError, ConfigError, DataError, UnavailableError
from model_registry.command_line import main
from model_registry.commands.base import bundle_directory, parse_reference
from model_registry.mlflow_store.connection import connect, explained, resolve_uri, without_password
from model_registry.versions.version import Version, select


def version(number: int, *aliases: str, bundle_version: str = "") -> Version:
    return Version(
        name="toy",
        number=number,
        aliases=aliases,
        run_id="",
        model_id="",
        created=datetime.now(UTC),
        digest="",
        bundle_version=bundle_version,
    )


@pytest.mark.parametrize(
    ("target", "parts"),
    [("toy@champion", ("toy", "champion")), ("toy/3", ("toy", "3")), ("a.b-c@0a1b2c3d4e5f", ("a.b-c", "0a1b2c3d4e5f"))],
)
def test_a_reference_is_a_name_and_a_selector(target, parts):
    assert parse_reference(target) == parts


@pytest.mark.parametrize("target", ["toy", "toy@", "@champion", "runs/demo/bundle", "toy/", ""])
def test_what_is_no_reference_is_refused_with_the_forms_there_are(target):
    with pytest.raises(ConfigError, match="NAME@ALIAS"):
        parse_reference(target)


def test_a_version_is_found_by_number_alias_and_bundle_version():
    versions = [version(2, "candidate", bundle_version="0a1b2c3d4e5f"), version(1, "champion")]
    assert select(versions, "toy", "1").number == 1
    assert select(versions, "toy", "candidate").number == 2
    assert select(versions, "toy", "0a1b2c3d4e5f").number == 2


def test_a_version_that_does_not_exist_is_answered_with_those_that_do():
    with pytest.raises(
        ConfigError, match=r"toy has no version '7'; there are the numbers 1, 2 and the aliases champion"
    ):
        select([version(2), version(1, "champion")], "toy", "7")


def test_a_bundle_stands_for_itself_and_a_run_for_its_bundle(tmp_path):
    bundle = tmp_path / "run" / "bundle"
    bundle.mkdir(parents=True)
    (bundle / "manifest.json").touch()
    assert bundle_directory(bundle) == bundle
    assert bundle_directory(tmp_path / "run") == bundle


def test_a_run_without_a_bundle_says_how_to_end_it(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(BundleError, match=f"python -m train resume={tmp_path}"):
        bundle_directory(tmp_path)


def test_a_path_that_is_neither_run_nor_bundle_is_refused(tmp_path):
    with pytest.raises(DataError, match="neither a run nor a bundle"):
        bundle_directory(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        bundle_directory(tmp_path / "nothing")


def test_the_store_is_the_option_then_the_environment_then_a_file_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert resolve_uri(None) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000/")
    assert resolve_uri(None) == "http://localhost:5000"
    assert resolve_uri("sqlite:///other.db") == f"sqlite:///{tmp_path}/other.db"


def test_a_postgresql_store_gets_the_driver_that_is_installed():
    assert resolve_uri("postgresql://me:secret@db/mlflow") == "postgresql+psycopg2://me:secret@db/mlflow"
    assert resolve_uri("postgresql+pg8000://db/mlflow") == "postgresql+pg8000://db/mlflow"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql+psycopg2://me:secret@db:5432/mlflow", "postgresql+psycopg2://me:***@db:5432/mlflow"),
        ("postgresql://me:sec/r@t@db/mlflow", "postgresql://me:***@db/mlflow"),
        ("no answer from http://me:secret@host:5000/api now", "no answer from http://me:***@host:5000/api now"),
        ("postgresql://db/mlflow?user=me&password=secret&ssl=on", "postgresql://db/mlflow?user=me&password=***&ssl=on"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("sqlite:////home/me/a:b@c.db", "sqlite:////home/me/a:b@c.db"),
        ("toy@champion: models:/m-1", "toy@champion: models:/m-1"),
    ],
)
def test_a_password_is_not_shown(text, shown):
    assert without_password(text) == shown


@pytest.mark.parametrize(
    "uri",
    [
        "http://me:secret@127.0.0.1:1",
        "postgresql://me:secret@127.0.0.1:1/mlflow",
        "postgresql://me:secret/s@127.0.0.1:1/mlflow",
        "ftp://me:secret@host",
    ],
)
def test_no_error_about_a_store_shows_its_password(uri):
    with pytest.raises((UnavailableError, ConfigError), match=r"://me:\*\*\*@") as refusal:
        connect(uri)
    assert "secret" not in str(refusal.value)


def test_what_mlflow_says_of_a_store_is_shown_without_its_password():
    uri = "http://me:secret@host:5000"
    with pytest.raises(UnavailableError, match=r"http://me:\*\*\*@host:5000 could not") as refusal, explained(uri):
        raise MlflowException(f"API request to {uri}/api/2.0 failed")
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns", "ftp://host", "databricks"])
def test_a_store_of_another_kind_is_refused_with_the_kinds_there_are(uri):
    with pytest.raises(ConfigError, match="accepted are sqlite"):
        connect(uri)


@pytest.mark.parametrize("arguments", [["--tracking-uri", "{uri}", "list"], ["list", "--tracking-uri", "{uri}"]])
def test_the_store_may_be_named_before_or_after_the_command(tmp_path, arguments):
    uri = f"sqlite:///{tmp_path}/named.db"
    with pytest.raises(UnavailableError, match=r"named\.db"):
        main([argument.format(uri=uri) for argument in arguments])


def test_a_file_that_is_no_database_is_refused_untouched(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("not a database, but long enough to look like one")
    with pytest.raises(ConfigError, match="not an SQLite database"):
        connect(f"sqlite:///{file}")
    assert file.read_text().startswith("not a database")


def test_reading_a_store_that_does_not_exist_makes_none(tmp_path):
    with pytest.raises(UnavailableError, match="there is no MLflow database at"):
        connect(f"sqlite:///{tmp_path}/mlflow.db", create=False)
    assert not list(tmp_path.iterdir())


def test_help_and_wrong_command_lines_do_not_wait_for_mlflow():
    code = "import sys; from model_registry.command_line import main; main(['promote', '--help'])"
    script = f"import atexit, sys; atexit.register(lambda: print('mlflow' in sys.modules)); {code}"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ}, timeout=60
    )
    assert "VERSION" in done.stdout
    assert done.stdout.endswith("False\n")
