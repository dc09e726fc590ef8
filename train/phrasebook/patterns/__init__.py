"""All sentence patterns, by theme."""

from train.phrasebook.patterns.clauses import CLAUSES
from train.phrasebook.patterns.company import COMPANY
from train.phrasebook.patterns.hotel import HOTEL
from train.phrasebook.patterns.plans import PLANS
from train.phrasebook.patterns.shop import SHOP
from train.phrasebook.patterns.table import TABLE
from train.phrasebook.patterns.time import TIME
from train.phrasebook.patterns.town import TOWN
from train.phrasebook.patterns.travel import TRAVEL
from train.phrasebook.template import Pattern

PATTERNS: tuple[Pattern, ...] = TOWN + TRAVEL + HOTEL + TABLE + SHOP + TIME + COMPANY + PLANS + CLAUSES
