"""A registered version as this project sees it, and how a command line names one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mlflow.entities.model_registry import ModelVersion

from dragoman.bundle.manifest import VERSION_LENGTH, BaseModel, Manifest
from dragoman.bundle.store import Bundle
from dragoman.errors import ConfigError
from model_registry.mlflow_store.logged_model import headline_scores
from scoring.table import METRICS

# The column is that wide in MLflow's databases.
DESCRIPTION_LIMIT = 5000
# Of the tag that stands beside each score.
SIGNATURE_SUFFIX = "_signature"


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of a registered model; ``digest`` is the bundle's, empty when something else registered it."""

    name: str
    number: int
    aliases: tuple[str, ...]
    run_id: str
    created: datetime
    digest: str
    bundle_version: str
    scores: dict[str, str]

    @property
    def reference(self) -> str:
        """``NAME/NUMBER``, as ``fetch`` takes it."""
        return f"{self.name}/{self.number}"


def from_mlflow(version: ModelVersion, aliases: Mapping[str, str]) -> Version:
    """Read MLflow's record; ``aliases`` (alias to version) are the model's, as a search leaves the version's out."""
    return Version(
        name=version.name,
        number=int(version.version),
        aliases=tuple(sorted(alias for alias, number in aliases.items() if int(number) == int(version.version))),
        run_id=version.run_id or "",
        created=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC),
        digest=version.tags.get("digest", ""),
        bundle_version=version.tags.get("bundle_version", ""),
        scores={metric: version.tags[metric] for metric in _metrics(version.tags) if metric in version.tags},
    )


def _metrics(tags: Mapping[str, str]) -> list[str]:
    """List the metrics that a version's tags name, in the order of the table of metrics."""
    found = {key.removesuffix(SIGNATURE_SUFFIX) for key in tags if key.endswith(SIGNATURE_SUFFIX)}
    return [*(metric for metric in METRICS if metric in found), *sorted(found - set(METRICS))]


def version_tags(manifest: Manifest) -> dict[str, str]:
    """What the registry shows beside a version: identity, scores and lineage."""
    provenance = manifest.provenance
    tags = {
        "digest": manifest.digest,
        "bundle_version": manifest.version,
        "run_id": provenance.mlflow_run_id,
        "git_commit": provenance.git_commit,
        "corpus_fingerprint": provenance.corpus_fingerprint,
        "config_digest": provenance.config_digest,
        "task": manifest.task,
        "base_model": _base_model(provenance.base_model),
        "study": provenance.study,
    }
    for metric, score in headline_scores(manifest).items():
        tags[metric] = f"{score.value:.2f}"
        tags[f"{metric}_test_set"] = f"{score.test_set} ({score.items} items, {score.engine})"
        tags[metric + SIGNATURE_SUFFIX] = score.signature
    return {key: value for key, value in tags.items() if value is not None}


def _base_model(base: BaseModel | None) -> str:
    if base is None:
        return "random weights"
    return f"{base.name} {base.revision or base.digest}"


def description(bundle: Bundle) -> str:
    """The model card, cut to what MLflow can hold."""
    card = (bundle.path / "MODEL_CARD.md").read_text(encoding="utf-8")
    if len(card) <= DESCRIPTION_LIMIT:
        return card
    note = "\n\n(The whole card is MODEL_CARD.md in the bundle.)"
    return card[: DESCRIPTION_LIMIT - len(note)].rpartition("\n")[0] + note


def select(versions: Sequence[Version], name: str, selector: str) -> Version:
    """The version that ``selector`` names: a number, an alias, or a bundle version; raises ConfigError."""
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
