"""Places that a preposition makes: German has one form for being there and another for moving there."""

from collections.abc import Iterable
from dataclasses import dataclass

from train.tasks.translation.phrasebook.grammar import Noun, contract
from train.tasks.translation.phrasebook.lexicon.nouns import FURNITURE, PLACES, pick


@dataclass(frozen=True)
class Spot:
    """A preposition and a noun, such as "on the table"; its plain German is the dative: "auf dem Tisch"."""

    english: str
    german: str
    wohin: str

    def where_to(self) -> str:
        """German, moving there, in the accusative: "auf den Tisch"."""
        return self.wohin


def spots(english: str, german: str, nouns: Iterable[Noun]) -> tuple[Spot, ...]:
    """One preposition before each of some nouns."""
    return tuple(
        Spot(f"{english} {noun.the()}", contract(german, noun.dem()), contract(german, noun.den())) for noun in nouns
    )


LANDMARKS = pick(
    PLACES, "station, church, town hall, museum, theatre, hospital, school, castle, fountain, library, cathedral"
)
IN_FRONT = spots("in front of", "vor", LANDMARKS)
BESIDE = (*IN_FRONT, *spots("behind", "hinter", LANDMARKS), *spots("next to", "neben", LANDMARKS))
AROUND_TOWN = (*BESIDE, *spots("opposite", "gegenüber", LANDMARKS))

WHERE_THINGS_LIE = (
    *spots("on", "auf", pick(FURNITURE, "table, bed, chair, sofa, desk, shelf")),
    *spots("in", "in", pick(FURNITURE, "cupboard")),
    *spots("next to", "neben", pick(FURNITURE, "lamp, bed, sofa")),
    *spots("under", "unter", pick(FURNITURE, "bed, sofa, chair, table")),
)
WHERE_LUGGAGE_STANDS = (
    *spots("next to", "neben", pick(FURNITURE, "door, bed, cupboard, sofa, desk, table")),
    *spots("behind", "hinter", pick(FURNITURE, "door, sofa, chair")),
    *spots("in front of", "vor", pick(FURNITURE, "door, cupboard, window, bed")),
    *spots("under", "unter", pick(FURNITURE, "table, desk")),
    *spots("in", "in", pick(FURNITURE, "cupboard")),
)
