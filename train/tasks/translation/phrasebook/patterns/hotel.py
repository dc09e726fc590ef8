"""Rooms, what is in them and what is broken."""

from train.tasks.translation.phrasebook.lexicon.nouns import (
    BEDDING,
    DEVICES,
    HOTEL_ROOMS,
    LAID_DOWN,
    ROOMS,
    STOOD_UP,
    SUPPLIES,
    WET_DEVICES,
    WET_ROOMS,
    noun,
    pick,
)
from train.tasks.translation.phrasebook.lexicon.people import OWNERS, OWNERS_INSIDE, RECEIVERS, SUBJECTS, WE, I
from train.tasks.translation.phrasebook.lexicon.spots import WHERE_LUGGAGE_STANDS, WHERE_THINGS_LIE
from train.tasks.translation.phrasebook.lexicon.words import (
    FAILURES,
    HOTEL_ADJECTIVES,
    ROOM_FEATURES,
    WEEKDAYS,
    phrases,
)
from train.tasks.translation.phrasebook.numerals import ORDINALS, clock_times, dates, digits, numbers
from train.tasks.translation.phrasebook.template import pattern

_ROOM_NUMBERS = digits(101, 130) + digits(201, 230) + digits(301, 330)
_ROOM = (noun("room", "das Zimmer", "Zimmer"),)

HOTEL = (
    pattern(
        "room_wanted",
        "{who} would like {room.a(kind)} {feature} for {nights} nights.",
        "{who} {who:möchte|möchte|möchten} {room.einen(kind)} {feature} für {nights} Nächte.",
        who=(I, WE),
        room=HOTEL_ROOMS,
        kind=HOTEL_ADJECTIVES,
        feature=ROOM_FEATURES,
        nights=numbers(2, 9),
    ),
    pattern(
        "room_free",
        "Do you have {room.a(kind)} from {first} to {last}?",
        "Haben Sie von {first} bis {last} {room.einen(kind)} frei?",
        room=HOTEL_ROOMS,
        kind=HOTEL_ADJECTIVES,
        first=WEEKDAYS[:4],
        last=WEEKDAYS[4:],
    ),
    pattern(
        "room_booked",
        "{who} {who:have|has} booked {room.a} for {date}.",
        "{who} {who:habe|hat|haben} für den {date} {room.einen} gebucht.",
        who=SUBJECTS[:8],
        room=HOTEL_ROOMS,
        date=dates(),
    ),
    pattern(
        "which_floor",
        "{room.my(owner)} is on the {which} floor next to the {place}.",
        "{room.mein(owner)} ist im {which}en Stock neben {place}.",
        owner=OWNERS,
        room=(*_ROOM, *pick(HOTEL_ROOMS, "double room, holiday flat")),
        which=ORDINALS,
        place=phrases("lift = dem Aufzug; stairs = der Treppe; kitchen = der Küche; terrace = der Terrasse"),
    ),
    pattern(
        "for_room_number",
        "Here is {thing} for room {number}.",
        "Hier ist {thing} für Zimmer {number}.",
        thing=phrases(
            "the key = der Schlüssel; the bill = die Rechnung; the breakfast = das Frühstück; a letter = ein Brief"
        ),
        number=_ROOM_NUMBERS,
    ),
    pattern(
        "room_number_is",
        "{owner} room number is {number}.",
        "{owner}e Zimmernummer ist {number}.",
        owner=OWNERS,
        number=_ROOM_NUMBERS,
    ),
    pattern(
        "device_fails",
        "{device.the} in {room.my(owner)} {fails}.",
        "{device.der} in {room.meinem(owner)} {fails}.",
        device=DEVICES,
        room=ROOMS,
        owner=OWNERS_INSIDE,
        fails=FAILURES,
    ),
    pattern(
        "wet_device_fails",
        "{device.the} in {room.my(owner)} {fails}.",
        "{device.der} in {room.meinem(owner)} {fails}.",
        device=WET_DEVICES,
        room=WET_ROOMS,
        owner=OWNERS_INSIDE,
        fails=FAILURES,
    ),
    pattern(
        "device_missing",
        "There is no {device} in {room.my(owner)}.",
        "In {room.meinem(owner)} gibt es {device.keinen}.",
        device=(*DEVICES, *BEDDING),
        room=ROOMS[:4],
        owner=OWNERS_INSIDE,
    ),
    pattern(
        "bring_something",
        "Could you bring {who.him} {thing.a}, please?",
        "Könnten Sie {who.ihm} bitte {thing.einen} bringen?",
        who=RECEIVERS,
        thing=SUPPLIES,
    ),
    pattern(
        "bring_another",
        "Could you bring {who.him} another {thing}, please?",
        "Könnten Sie {who.ihm} bitte noch {thing.einen} bringen?",
        who=RECEIVERS,
        thing=SUPPLIES,
    ),
    pattern(
        "bring_several",
        "We need {number} more {thing.many} for {room.my(owner)}.",
        "Wir brauchen noch {number} {thing.viele} für {room.meinen(owner)}.",
        number=numbers(2, 9),
        thing=BEDDING,
        room=ROOMS[:4],
        owner=OWNERS_INSIDE[2:],
    ),
    pattern(
        "wake",
        "Could you wake {who.him} at {time} tomorrow, please?",
        "Könnten Sie {who.ihn} bitte morgen um {time} wecken?",
        who=RECEIVERS[:10],
        time=clock_times(),
    ),
    pattern(
        "thing_lies",
        "{thing.my(owner)} is {spot}.",
        "{thing.mein(owner)} liegt {spot}.",
        thing=LAID_DOWN,
        owner=OWNERS,
        spot=WHERE_THINGS_LIE,
    ),
    pattern(
        "luggage_stands",
        "{thing.my(owner)} is {spot}.",
        "{thing.mein(owner)} steht {spot}.",
        thing=STOOD_UP,
        owner=OWNERS,
        spot=WHERE_LUGGAGE_STANDS,
    ),
    pattern(
        "lay_down",
        "Please put {thing.my(owner)} {spot}.",
        "Legen Sie {thing.meinen(owner)} bitte {spot.where_to}.",
        thing=LAID_DOWN,
        owner=OWNERS_INSIDE,
        spot=WHERE_THINGS_LIE[:10],
    ),
    pattern(
        "stand_up",
        "Please put {thing.my(owner)} {spot}.",
        "Stellen Sie {thing.meinen(owner)} bitte {spot.where_to}.",
        thing=STOOD_UP,
        owner=OWNERS_INSIDE,
        spot=WHERE_LUGGAGE_STANDS,
    ),
    pattern(
        "building_has",
        "{building} has {number} {things}.",
        "{building} hat {number} {things}.",
        building=phrases(
            "the hotel = das Hotel; the hospital = das Krankenhaus; the youth hostel = die Jugendherberge"
        ),
        number=numbers(11, 99),
        things=phrases("rooms = Zimmer; beds = Betten; windows = Fenster"),
    ),
)
