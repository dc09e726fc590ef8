"""The result of a promotion or a rollback."""

from dataclasses import dataclass
from typing import Literal

from model_registry.gate.verdict import Judgement
from model_registry.versions.version import Version

Verdict = Literal["promoted", "rejected", "undecided", "champion again"]


@dataclass(frozen=True, kw_only=True)
class ChampionChange:
    """The decision about a version, carried out where ``changed`` is true; ``replaced`` is the champion before it.

    ``look`` counts the decisions made on the judgement's items, this one included.
    """

    version: Version
    verdict: Verdict
    reason: str
    replaced: Version | None = None
    changed: bool = False
    judgement: Judgement | None = None
    look: int = 1
