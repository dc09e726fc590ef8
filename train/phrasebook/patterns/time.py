"""The clock, the calendar, ages, numbers and the weather."""

from train.phrasebook.lexicon.food import MEALTIMES
from train.phrasebook.lexicon.nouns import BIRTHDAY, EVENTS, OCCASIONS, SHOWS, UNITS, pick
from train.phrasebook.lexicon.people import ADULT, HE, HIS, MY, OLD, OWNERS, SHE, SUBJECTS, YOUNG, YOUR, I
from train.phrasebook.lexicon.words import CITIES, DAYS, ON_WEEKDAY, SKIES, TEMPERATURES, WEEKDAYS, phrases
from train.phrasebook.numerals import MONTHS, clock_times, dates, digits, numbers, timetable
from train.phrasebook.template import pattern

TIME = (
    pattern("it_is", "It is {time}.", "Es ist {time}.", time=clock_times()),
    pattern(
        "it_is_already",
        "It is {already} {time}.",
        "Es ist {already} {time}.",
        already=phrases("already = schon; now = jetzt; exactly = genau; almost = fast; only = erst"),
        time=clock_times(),
    ),
    pattern(
        "today_is",
        "Today is {day}, {date}.",
        "Heute ist {day}, der {date}.",
        day=WEEKDAYS,
        date=dates(),
    ),
    pattern(
        "occasion_on",
        "{occasion.my(owner)} is on {date}.",
        "{occasion.mein(owner)} ist am {date}.",
        owner=(MY, YOUR, HIS),
        occasion=(BIRTHDAY, *OCCASIONS),
        date=dates(),
    ),
    pattern(
        "occasion_at",
        "{occasion.my(owner)} is {day} at {time}.",
        "{occasion.mein(owner)} ist {day} um {time}.",
        owner=OWNERS,
        occasion=OCCASIONS,
        day=ON_WEEKDAY,
        time=timetable(8, 18, 15),
    ),
    pattern(
        "appointment",
        "{who} {who:have|has} an appointment {day} at {time}.",
        "{who} {who:habe|hat|haben} {day} um {time} einen Termin.",
        who=SUBJECTS,
        day=ON_WEEKDAY[:5],
        time=timetable(9, 16, 30),
    ),
    pattern(
        "event_begins",
        "{event.the} begins {day} at {time}.",
        "{event.der} beginnt {day} um {time}.",
        event=SHOWS,
        day=ON_WEEKDAY,
        time=clock_times(),
    ),
    pattern(
        "event_ends",
        "{event.the} ends at {time}.",
        "{event.der} endet um {time}.",
        event=EVENTS,
        time=clock_times(),
    ),
    pattern(
        "when_begins",
        "What time does {event.the} {begin} {day}?",
        "Um wie viel Uhr {begin} {event.der} {day}?",
        event=SHOWS,
        begin=phrases("begin = beginnt; end = endet"),
        day=ON_WEEKDAY,
    ),
    pattern(
        "meal_at",
        "{day} {meal} in the {room}.",
        "{day} gibt es {meal} {room}.",
        day=ON_WEEKDAY,
        meal=MEALTIMES,
        room=phrases("restaurant = im Restaurant; garden = im Garten; hall = im Saal"),
    ),
    pattern(
        "event_lasts",
        "{event.the} lasts {number} {unit.many}.",
        "{event.der} dauert {number} {unit.viele}.",
        event=pick(EVENTS, "course, trip, exhibition"),
        number=numbers(2, 20),
        unit=pick(UNITS, "hour, day, week"),
    ),
    pattern(
        "born_in",
        "{who} was born in {month} {year}.",
        "{who} {who:wurde|wurde|wurden} im {month} {year} geboren.",
        who=(I, HE, SHE, *ADULT),
        month=MONTHS,
        year=digits(1950, 1979),
    ),
    pattern(
        "age_young",
        "{who} is {number} years old.",
        "{who} ist {number} Jahre alt.",
        who=YOUNG,
        number=numbers(2, 19),
    ),
    pattern(
        "age_adult",
        "{who} is {number} years old.",
        "{who} ist {number} Jahre alt.",
        who=(HE, SHE, *ADULT),
        number=numbers(25, 69),
    ),
    pattern(
        "age_old",
        "{who} is {number} years old.",
        "{who} ist {number} Jahre alt.",
        who=OLD,
        number=numbers(65, 99),
    ),
    pattern(
        "degrees",
        "It is {number} degrees in {city} today.",
        "In {city} sind es heute {number} Grad.",
        number=numbers(2, 38),
        city=CITIES,
    ),
    pattern(
        "weather_will_be",
        "It will be {sky} and {temperature} in {city} {day}.",
        "In {city} wird es {day} {sky} und {temperature}.",
        sky=SKIES,
        temperature=TEMPERATURES,
        city=CITIES,
        day=DAYS[1:],
    ),
    pattern(
        "weather_was",
        "It was {sky} in {city} yesterday, but today it is {temperature}.",
        "In {city} war es gestern {sky}, aber heute ist es {temperature}.",
        sky=SKIES,
        temperature=TEMPERATURES,
        city=CITIES,
    ),
)
