"""A registered version, and its selection by number, alias or bundle version."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mlflow.entities.model_registry import ModelVersion

from dragoman.bundle.manifest import VERSION_LENGTH
from dragoman.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of a registered model.

    ``model_id`` is the logged model that holds the files and ``digest`` the bundle's; a version that something else
    registered has neither.
    """

    name: str
    number: int
    aliases: tuple[str, ...]
    run_id: str
    model_id: str
    created: datetime
    digest: str
    bundle_version: str

    @property
    def reference(self) -> str:
        """``NAME/NUMBER``, as ``fetch`` takes it."""
        return f"{self.name}/{self.number}"


def from_mlflow(version: ModelVersion, aliases: Mapping[str, str]) -> Version:
    """Read MLflow's record; ``aliases`` (alias to version) are the model's, as a search leaves the version's out."""
    source = str(version.source)
    return Version(
        name=version.name,
        number=int(version.version),
        aliases=tuple(sorted(alias for alias, number in aliases.items() if int(number) == int(version.version))),
        run_id=version.run_id or "",
        # The record's own field model_id stays empty in MLflow 3.17.
        model_id=source.removeprefix("models:/") if source.startswith("models:/m-") else "",
        created=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC),
        digest=version.tags.get("digest", ""),
        bundle_version=version.tags.get("bundle_version", ""),
    )


def select(versions: Sequence[Version], name: str, selector: str) -> Version:
    """Return the version that a number, an alias, or a bundle version names; raises ConfigError."""
    for version in versions:
        if selector in version.aliases or (selector == version.bundle_version and len(selector) == VERSION_LENGTH):
            return version
    for version in versions:
        if selector == str(version.number):
            return version
    aliases = sorted(alias for version in versions for alias in version.aliases)
    numbers = ", ".join(str(version.number) for version in sorted(versions, key=lambda version: version.number))
    raise ConfigError(
        f"{name} has no version {selector!r}; there are the numbers {numbers or '(none)'} "
        f"and the aliases {', '.join(aliases) or '(none)'}"
    )
