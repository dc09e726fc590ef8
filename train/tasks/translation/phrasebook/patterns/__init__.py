"""All sentence patterns, by theme."""

from train.tasks.translation.phrasebook.patterns.clauses import CLAUSES
from train.tasks.translation.phrasebook.patterns.company import COMPANY
from train.tasks.translation.phrasebook.patterns.hotel import HOTEL
from train.tasks.translation.phrasebook.patterns.plans import PLANS
from train.tasks.translation.phrasebook.patterns.shop import SHOP
from train.tasks.translation.phrasebook.patterns.table import TABLE
from train.tasks.translation.phrasebook.patterns.time import TIME
from train.tasks.translation.phrasebook.patterns.town import TOWN
from train.tasks.translation.phrasebook.patterns.travel import TRAVEL
from train.tasks.translation.phrasebook.template import Pattern

PATTERNS: tuple[Pattern, ...] = TOWN + TRAVEL + HOTEL + TABLE + SHOP + TIME + COMPANY + PLANS + CLAUSES
