"""The manifest of a bundle: the schema of ``manifest.json``."""

import dataclasses
import hashlib
import json
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from dragoman.atomic import to_json
from dragoman.errors import BundleError, ConfigError
from dragoman.strict import parse

SCHEMA = 3
VERSION_LENGTH = 12
# A name goes to MLflow's models (no dot), a container image's repository (lower case, single separators), a Bento's
# tag, TorchServe's models and file names; all of them accept this pattern.
NAME_PATTERN = re.compile(r"[a-z0-9]+((_|__|-+)[a-z0-9]+)*")
LONGEST_NAME = 63


@dataclass(frozen=True, kw_only=True)
class BaseModel:
    """The weights that training started from: a repository of the hub, or the last part of a path on disk.

    ``revision`` is the hub's commit; ``digest`` covers the files that were read.
    """

    name: str
    revision: str | None
    digest: str


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """The origin of the weights; ``study`` is the trial that found their settings, ``STUDY/trial-7``.

    ``imported`` tells weights that came as they are from those that were trained here.
    """

    mlflow_run_id: str | None = None
    git_commit: str | None = None
    config_digest: str
    corpus_fingerprint: str
    base_model: BaseModel | None = None
    study: str | None = None
    imported: bool = False


@dataclass(frozen=True, kw_only=True)
class Score:
    """One figure of quality, with all that is needed to compare it; low and high bound its 95 % bootstrap interval."""

    metric: str
    value: float
    signature: str
    test_set: str
    items: int
    low: float
    high: float
    engine: str


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """One file of the bundle, by its path inside it with forward slashes."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything a bundle says about its model; ``digest`` covers all the rest and ``version`` is its beginning.

    ``options`` and ``limits`` are the task's own: its class reads them (``dragoman.tasks.base``). ``baselines`` are
    scores of simple methods, trained on the same examples, whose name each has as its ``engine``.
    """

    schema: int = SCHEMA
    name: str
    task: str
    options: Mapping[str, Any]
    limits: Mapping[str, Any]
    provenance: Provenance
    scores: tuple[Score, ...]
    baselines: tuple[Score, ...] = ()
    engines: tuple[str, ...]
    files: tuple[FileEntry, ...]
    version: str = ""
    digest: str = ""

    def sealed(self) -> Self:
        """Return the same manifest with its digest and version computed from its content."""
        content = self._content()
        del content["version"], content["digest"]
        digest = hashlib.sha256(to_json(content).encode("utf-8")).hexdigest()
        return dataclasses.replace(self, version=digest[:VERSION_LENGTH], digest=digest)

    def to_json(self) -> str:
        """Return the canonical text of ``manifest.json``."""
        return to_json(self._content())

    def _content(self) -> dict[str, Any]:
        content = dataclasses.asdict(self)
        # Left out where they say nothing: a bundle from before there were any keeps its digest.
        if not self.baselines:
            del content["baselines"]
        if not self.provenance.imported:
            del content["provenance"]["imported"]
        return content

    def with_baselines(self) -> list[Score]:
        """List every score, followed by those of the baselines on the same test set and by the same metric."""
        found: list[Score] = []
        for score in self.scores:
            place = (score.test_set, score.metric)
            found += [score, *(other for other in self.baselines if (other.test_set, other.metric) == place)]
        return found

    def identity(self) -> dict[str, Any]:
        """Return the model's name and version, in the form in which every answer of a server carries them."""
        return {
            "name": self.name,
            "version": self.version,
            "run_id": self.provenance.mlflow_run_id,
            "digest": f"sha256:{self.digest}",
        }

    def section(self, name: Literal["options", "limits"], kind: type) -> Any:
        """Read the task's options or limits as its dataclass; raises BundleError naming all faults."""
        given = getattr(self, name)
        parsed = parse(given, kind)
        problems = parsed.problems
        if not problems:
            # A manifest says everything: a key left to a default would not be covered by its digest.
            missing = _missing(given, json.loads(json.dumps(dataclasses.asdict(parsed.value))))
            if missing:
                problems = [f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"]
        if problems:
            raise BundleError(
                f"the {name} of {self.name} are wrong: {'; '.join(problems)}; the bundle is damaged, fetch or export "
                "it again"
            )
        return parsed.value

    @classmethod
    def from_json(cls, text: str, *, origin: str) -> Self:
        """Parse ``manifest.json``; raises BundleError naming ``origin`` and the key at fault."""
        try:
            value = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise BundleError(
                f"{origin} is not JSON ({error}); the bundle is damaged, fetch or build it again"
            ) from error
        schema = value.get("schema") if isinstance(value, dict) else None
        if isinstance(schema, int) and schema < SCHEMA:
            raise BundleError(
                f"{origin} has schema {schema}, and this version of dragoman reads {SCHEMA}; export the model again "
                "from its run: python -m train import task=… model.path=RUN_DIR/bundle/model, with the name and the "
                "model's settings that RUN_DIR/config.yaml names"
            )
        if isinstance(value, dict) and schema != SCHEMA:
            raise BundleError(f"{origin} has schema {schema!r}; this version of dragoman reads {SCHEMA}")
        parsed = parse(value, cls)
        if parsed.problems:
            raise BundleError(f"{origin}: {'; '.join(parsed.problems)}; the bundle is damaged, fetch it again")
        try:
            check_name(parsed.value.name)
        except ConfigError as error:
            # Only its maker can rename it: files and models are called by the name.
            raise BundleError(f"{origin}: {error}; export the model again under another name") from error
        return typing.cast(Self, parsed.value)


def _missing(given: Mapping[str, Any], full: Mapping[str, Any], where: str = "") -> list[str]:
    """List the keys of ``full`` that were not given, at any depth."""
    missing = [f"{where}{key}" for key in full if key not in given]
    for key, value in full.items():
        if isinstance(value, dict) and isinstance(given.get(key), Mapping):
            missing += _missing(given[key], value, f"{where}{key}.")
    return missing


def check_name(name: str) -> None:
    """Raise ConfigError for a name that one of the places it goes to would refuse."""
    if not NAME_PATTERN.fullmatch(name) or len(name) > LONGEST_NAME:
        raise ConfigError(
            "name must be lower-case letters and digits, with '-' or '_' between them, at most "
            f"{LONGEST_NAME} characters, got {name!r}"
        )


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
