"""Finding one's way in a town."""

from train.tasks.translation.phrasebook.grammar import Adjective
from train.tasks.translation.phrasebook.lexicon.nouns import (
    AMENITIES,
    CORNERS,
    DESTINATIONS,
    OPENED,
    PLACES,
    SIGHTS,
    STARTING_POINTS,
    STOPS,
    VEHICLES,
    WANTED,
    pick,
)
from train.tasks.translation.phrasebook.lexicon.people import RECEIVERS, WE, I
from train.tasks.translation.phrasebook.lexicon.spots import AROUND_TOWN, BESIDE, IN_FRONT, LANDMARKS
from train.tasks.translation.phrasebook.lexicon.words import (
    CITIES,
    EACH_WEEKDAY,
    LEFT_RIGHT,
    PLACE_MOST,
    STATES,
    phrases,
)
from train.tasks.translation.phrasebook.numerals import ORDINALS, clock_times, digits, numbers, timetable
from train.tasks.translation.phrasebook.template import pattern

_NEAREST = (Adjective("nearest", "nächst"),)
_BUSES = pick(VEHICLES, "bus, tram, underground")
_COUNTED = pick(PLACES, "church, museum, hotel, theatre, school, library")
_COUNTED_TOO = pick(PLACES, "restaurant, café, park, bridge, cinema, market")
_COMPARED = pick(PLACES, "hotel, church, museum, park, market, café, restaurant, theatre, bridge, tower, opera, school")
_BUILT = pick(
    PLACES, "castle, cathedral, town hall, tower, bridge, church, opera, theatre, station, lighthouse, library"
)

TOWN = (
    pattern(
        "where",
        "Where is {place.the}?",
        "Wo ist {place.der}?",
        place=PLACES,
    ),
    pattern(
        "where_is",
        "Excuse me, where is {place.the}?",
        "Entschuldigung, wo ist {place.der}?",
        place=PLACES,
    ),
    pattern(
        "where_is_nearest",
        "Excuse me, where is {place.the(nearest)}?",
        "Entschuldigung, wo ist {place.der(nearest)}?",
        place=AMENITIES,
        nearest=_NEAREST,
    ),
    pattern(
        "is_there_near",
        "Is there {place.a} near here?",
        "Gibt es hier in der Nähe {place.einen}?",
        place=AMENITIES,
    ),
    pattern(
        "looking_for_place",
        "{who} {who:am|is|are} looking for {place.the}.",
        "{who} {who:suche|sucht|suchen} {place.den}.",
        who=(I, WE),
        place=PLACES,
    ),
    pattern(
        "how_to_get",
        "How do {who} get from {start.the} to {place.the}?",
        "Wie {who:komme|kommt|kommen} {who} {start.vom} {place.zum}?",
        who=(I, WE),
        start=STARTING_POINTS,
        place=DESTINATIONS,
    ),
    pattern(
        "how_far",
        "How far is it from {start.the} to {place.the}?",
        "Wie weit ist es {start.vom} {place.zum}?",
        start=STARTING_POINTS,
        place=DESTINATIONS,
    ),
    pattern(
        "minutes_to",
        "It takes {minutes} minutes to get to {place.the} {how}.",
        "{how} braucht man {minutes} Minuten bis {place.zum}.",
        minutes=numbers(5, 55, 5),
        place=STOPS,
        how=phrases("on foot = zu Fuß; by bus = mit dem Bus; by taxi = mit dem Taxi; by bicycle = mit dem Fahrrad"),
    ),
    pattern(
        "turn_at",
        "Go straight on and turn {side} at {corner.the}.",
        "Gehen Sie geradeaus und biegen Sie {corner.am} {side} ab.",
        side=LEFT_RIGHT,
        corner=CORNERS + LANDMARKS + pick(PLACES, "bank, pharmacy, bridge, market square, cinema, bakery, supermarket"),
    ),
    pattern(
        "take_street",
        "After {place.the}, take the {which} street on the {side}.",
        "Nehmen Sie nach {place.dem} die {which}e Straße {side}.",
        place=CORNERS + LANDMARKS,
        which=ORDINALS[:5],
        side=LEFT_RIGHT,
    ),
    pattern(
        "is_beside",
        "{place.the} is {spot}.",
        "{place.der} ist {spot}.",
        place=WANTED,
        spot=AROUND_TOWN,
    ),
    pattern(
        "not_far",
        "{place.the} is not far from {start.the}.",
        "{place.der} ist nicht weit {start.vom} entfernt.",
        place=DESTINATIONS,
        start=STARTING_POINTS,
    ),
    pattern(
        "on_which_side",
        "You will find {place.the} on the {side} {spot}.",
        "Sie finden {place.den} {side} {spot}.",
        place=pick(
            AMENITIES, "bank, pharmacy, supermarket, post office, bakery, cash machine, taxi rank, bus stop, café"
        ),
        side=LEFT_RIGHT,
        spot=BESIDE,
    ),
    pattern(
        "stops_at",
        "Does this {bus} stop at {place.the}?",
        "Hält {bus.dieser} {place.am}?",
        bus=_BUSES,
        place=STOPS,
    ),
    pattern(
        "which_bus",
        "Which {bus} goes to {place.the}?",
        "{bus.welcher} fährt {place.zum}?",
        bus=_BUSES,
        place=STOPS,
    ),
    pattern(
        "bus_number",
        "Take bus number {number} to {place.the}.",
        "Nehmen Sie den Bus Nummer {number} {place.zum}.",
        number=digits(2, 48),
        place=STOPS,
    ),
    pattern(
        "how_often",
        "How often does {bus.the} to {place.the} run?",
        "Wie oft fährt {bus.der} {place.zum}?",
        bus=_BUSES,
        place=STOPS,
    ),
    pattern(
        "take_someone_to",
        "Please take {who.him} to {place.the}.",
        "Bringen Sie {who.ihn} bitte {place.zum}.",
        who=RECEIVERS,
        place=STOPS,
    ),
    pattern(
        "taxi_price",
        "How much does a taxi from {start.the} to {place.the} cost?",
        "Wie viel kostet ein Taxi {start.vom} {place.zum}?",
        start=STARTING_POINTS,
        place=DESTINATIONS,
    ),
    pattern(
        "opens_at",
        "{place.the} opens at {opening} and closes at {closing}.",
        "{place.der} öffnet um {opening} und schließt um {closing}.",
        place=OPENED,
        opening=timetable(7, 10, 30),
        closing=timetable(16, 20, 30),
    ),
    pattern(
        "open_from",
        "{place.the} is open from {opening} to {closing} {day}.",
        "{place.der} hat {day} von {opening} bis {closing} geöffnet.",
        place=OPENED,
        opening=timetable(8, 10, 30),
        closing=timetable(17, 19, 30),
        day=EACH_WEEKDAY,
    ),
    pattern(
        "open_or_closed",
        "{place.the} is {state} {day}.",
        "{place.der} ist {day} {state}.",
        place=OPENED,
        state=STATES,
        day=EACH_WEEKDAY,
    ),
    pattern(
        "why_closed",
        "Why is {place.the} {state} {day}?",
        "Warum ist {place.der} {day} {state}?",
        place=OPENED,
        state=STATES,
        day=phrases("today = heute; tomorrow = morgen; this afternoon = heute Nachmittag; tonight = heute Abend"),
    ),
    pattern(
        "when_opens",
        "When does {place.the} {open} {day}?",
        "Wann {open} {place.der} {day}?",
        place=OPENED,
        open=phrases("open = öffnet; close = schließt"),
        day=EACH_WEEKDAY,
    ),
    pattern(
        "meet_at",
        "We are meeting at {time} {spot}.",
        "Wir treffen uns um {time} {spot}.",
        time=clock_times(),
        spot=IN_FRONT,
    ),
    pattern(
        "town_has",
        "{town} has {some} {place.many} and {more} {other.many}.",
        "{town} hat {some} {place.viele} und {more} {other.viele}.",
        town=phrases("our town = unsere Stadt; this village = dieses Dorf; the old town = die Altstadt"),
        some=numbers(2, 9),
        place=_COUNTED,
        more=numbers(2, 9),
        other=_COUNTED_TOO,
    ),
    pattern(
        "how_many",
        "How many {place.many} are there in {city}?",
        "Wie viele {place.viele} gibt es in {city}?",
        place=_COUNTED + _COUNTED_TOO,
        city=CITIES,
    ),
    pattern(
        "which_is_most",
        "Which is {place.the(most)} in {city}?",
        "Welches ist {place.der(most)} in {city}?",
        place=_COMPARED,
        most=PLACE_MOST,
        city=CITIES,
    ),
    pattern(
        "was_built",
        "{place.the} was built in {year}.",
        "{place.der} wurde im Jahr {year} gebaut.",
        place=_BUILT,
        year=digits(1850, 1969),
    ),
    pattern(
        "see_both",
        "{who} would like to see both {sight.the} and {other.the}.",
        "{who} {who:möchte|möchte|möchten} sowohl {sight.den} als auch {other.den} sehen.",
        who=(I, WE, *RECEIVERS[4:10]),
        sight=SIGHTS[:7],
        other=SIGHTS[9:],
    ),
)
