"""Trains, tickets and journeys."""

from train.tasks.translation.phrasebook.grammar import Adjective
from train.tasks.translation.phrasebook.lexicon.nouns import TRAINS, UNITS, VEHICLES, pick
from train.tasks.translation.phrasebook.lexicon.people import ASKED, OTHERS, SUBJECTS, WE, I
from train.tasks.translation.phrasebook.lexicon.words import (
    CITIES,
    COUNTRIES,
    DAYS,
    FAR_CITIES,
    NEAR_CITIES,
    VEHICLE_MORE,
    phrases,
)
from train.tasks.translation.phrasebook.numerals import clock_times, digits, numbers, timetable
from train.tasks.translation.phrasebook.template import pattern

_DAYTIME = pick(TRAINS, "train, bus")
_COMPARED = pick(VEHICLES, "train, tram, ferry, taxi, underground")
_COMPARED_TOO = pick(VEHICLES, "bus, plane, ship, bicycle, car")

TRAVEL = (
    pattern(
        "next_train",
        "When does {train.the(next)} to {city} leave?",
        "Wann fährt {train.der(next)} nach {city} ab?",
        train=TRAINS,
        city=CITIES,
        next=(Adjective("next", "nächst"), Adjective("first", "erst"), Adjective("last", "letzt")),
    ),
    pattern(
        "leaves_at",
        "{train.the} to {city} leaves at {time}.",
        "{train.der} nach {city} fährt um {time} ab.",
        train=_DAYTIME,
        city=CITIES,
        time=clock_times(),
    ),
    pattern(
        "arrives_at",
        "{train.the} from {city} arrives at {time}.",
        "{train.der} aus {city} kommt um {time} an.",
        train=_DAYTIME,
        city=CITIES,
        time=timetable(6, 22, 15),
    ),
    pattern(
        "platform",
        "{train.the} to {city} leaves from platform {number}.",
        "{train.der} nach {city} fährt von Gleis {number} ab.",
        train=pick(TRAINS, "train, night train"),
        city=CITIES,
        number=digits(1, 20),
    ),
    pattern(
        "delay",
        "{train.the} from {city} is {minutes} minutes late.",
        "{train.der} aus {city} hat {minutes} Minuten Verspätung.",
        train=TRAINS,
        city=CITIES,
        minutes=numbers(5, 55, 5),
    ),
    pattern(
        "missed",
        "{who} missed {train.the} to {city}.",
        "{who} {who:habe|hat|haben} {train.den} nach {city} verpasst.",
        who=SUBJECTS,
        train=_DAYTIME,
        city=CITIES,
    ),
    pattern(
        "tickets",
        "I would like {number} tickets to {city} for {day}, please.",
        "Ich möchte bitte {number} Fahrkarten nach {city} für {day}.",
        number=numbers(2, 9),
        city=CITIES,
        day=phrases("today = heute; tomorrow = morgen; Friday = Freitag; Saturday = Samstag; Sunday = Sonntag"),
    ),
    pattern(
        "some_tickets",
        "I would like {number} tickets, please.",
        "Ich möchte bitte {number} Fahrkarten.",
        number=numbers(2, 12),
    ),
    pattern(
        "ticket_price",
        "How much does {ticket} from {start} to {city} cost?",
        "Wie viel kostet {ticket} von {start} nach {city}?",
        ticket=phrases("a ticket = eine Fahrkarte; a return ticket = eine Rückfahrkarte; a flight = ein Flug"),
        start=NEAR_CITIES,
        city=FAR_CITIES,
    ),
    pattern(
        "how_long",
        "How long does the {journey} from {start} to {city} take?",
        "Wie lange dauert {journey} von {start} nach {city}?",
        journey=phrases("journey = die Fahrt; flight = der Flug"),
        start=NEAR_CITIES,
        city=FAR_CITIES,
    ),
    pattern(
        "journey_takes",
        "The journey from {start} to {city} takes {number} hours.",
        "Die Fahrt von {start} nach {city} dauert {number} Stunden.",
        start=NEAR_CITIES,
        city=FAR_CITIES,
        number=numbers(2, 12),
    ),
    pattern(
        "change_trains",
        "{who:Do|Does} {who} have to change trains in {city}?",
        "{who:Muss|Muss|Müssen} {who} in {city} umsteigen?",
        who=(I, WE, *OTHERS[2:12]),
        city=CITIES,
    ),
    pattern(
        "travelling_by",
        "{who} {who:am|is|are} travelling to {country} by {vehicle} {day}.",
        "{who} {who:fahre|fährt|fahren} {day} mit {vehicle.dem} nach {country}.",
        who=SUBJECTS,
        country=COUNTRIES[:8],
        vehicle=pick(VEHICLES, "train, bus, car"),
        day=DAYS[1:4],
    ),
    pattern(
        "flying_to",
        "{who:Are|Is|Are} {who} flying to {city} {day}?",
        "{who:Fliege|Fliegt|Fliegen} {who} {day} nach {city}?",
        who=ASKED,
        city=FAR_CITIES,
        day=DAYS,
    ),
    pattern(
        "waiting_for",
        "{who} {who:have|has} been waiting for {vehicle.the} for {minutes} minutes.",
        "{who} {who:warte|wartet|warten} seit {minutes} Minuten auf {vehicle.den}.",
        who=SUBJECTS,
        vehicle=pick(VEHICLES, "train, bus, tram, ferry, taxi, underground"),
        minutes=numbers(5, 55, 5),
    ),
    pattern(
        "staying_for",
        "{who} {who:am|is|are} staying in {country} for {number} {unit.many}.",
        "{who} {who:bleibe|bleibt|bleiben} {number} {unit.viele} in {country}.",
        who=SUBJECTS,
        country=COUNTRIES,
        number=numbers(2, 9),
        unit=pick(UNITS, "day, week, month"),
    ),
    pattern(
        "never_been",
        "{who} {who:have|has} never been to {country}.",
        "{who} {who:war|war|waren} noch nie in {country}.",
        who=SUBJECTS,
        country=COUNTRIES + CITIES,
    ),
    pattern(
        "ever_been",
        "{who:Have|Has} {who} ever been to {country}?",
        "{who:War|War|Waren} {who} schon einmal in {country}?",
        who=ASKED,
        country=COUNTRIES + CITIES,
    ),
    pattern(
        "is_it_faster",
        "Is {vehicle.the} {more} than {other.the}?",
        "Ist {vehicle.der} {more} als {other.der}?",
        vehicle=_COMPARED,
        more=VEHICLE_MORE,
        other=_COMPARED_TOO,
    ),
    pattern(
        "seat_reserved",
        "{who} {who:have|has} reserved a seat in coach {number} by the {place}.",
        "{who} {who:habe|hat|haben} in Wagen {number} einen Platz {place} reserviert.",
        who=SUBJECTS,
        number=digits(1, 14),
        place=phrases("window = am Fenster; aisle = am Gang; door = an der Tür"),
    ),
)
