"""Numbers: in words, as ordinals, on the clock, on the calendar and on a price tag."""

from train.tasks.translation.phrasebook.grammar import Adjective, Phrase

_ENGLISH_UNITS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_ENGLISH_TENS = [".", ".", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_GERMAN_UNITS = [
    "null",
    "eins",
    "zwei",
    "drei",
    "vier",
    "fünf",
    "sechs",
    "sieben",
    "acht",
    "neun",
    "zehn",
    "elf",
    "zwölf",
    "dreizehn",
    "vierzehn",
    "fünfzehn",
    "sechzehn",
    "siebzehn",
    "achtzehn",
    "neunzehn",
]
_GERMAN_TENS = [".", ".", "zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig"]

MONTHS = (
    Phrase("January", "Januar"),
    Phrase("February", "Februar"),
    Phrase("March", "März"),
    Phrase("April", "April"),
    Phrase("May", "Mai"),
    Phrase("June", "Juni"),
    Phrase("July", "Juli"),
    Phrase("August", "August"),
    Phrase("September", "September"),
    Phrase("October", "Oktober"),
    Phrase("November", "November"),
    Phrase("December", "Dezember"),
)
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

ORDINALS = (
    Adjective("first", "erst"),
    Adjective("second", "zweit"),
    Adjective("third", "dritt"),
    Adjective("fourth", "viert"),
    Adjective("fifth", "fünft"),
    Adjective("sixth", "sechst"),
    Adjective("seventh", "siebt"),
    Adjective("eighth", "acht"),
    Adjective("ninth", "neunt"),
    Adjective("tenth", "zehnt"),
)


def english_number(number: int) -> str:
    """A whole number from 0 to 99 in English words: 21 is "twenty-one"."""
    if number < 20:
        return _ENGLISH_UNITS[number]
    tens, units = divmod(number, 10)
    return _ENGLISH_TENS[tens] + (f"-{_ENGLISH_UNITS[units]}" if units else "")


def german_number(number: int) -> str:
    """A whole number from 0 to 99 in German words, units first: 21 is "einundzwanzig"."""
    if number < 20:
        return _GERMAN_UNITS[number]
    tens, units = divmod(number, 10)
    # "eins" loses its s inside a longer number.
    return (f"{_GERMAN_UNITS[units].removesuffix('s') if units == 1 else _GERMAN_UNITS[units]}und" if units else "") + (
        _GERMAN_TENS[tens]
    )


def numbers(first: int, last: int, step: int = 1) -> tuple[Phrase, ...]:
    """Numbers in words, both ends included."""
    return tuple(Phrase(english_number(n), german_number(n)) for n in range(first, last + 1, step))


def digits(first: int, last: int, step: int = 1) -> tuple[Phrase, ...]:
    """Numbers in digits, both ends included."""
    return tuple(Phrase(str(n), str(n)) for n in range(first, last + 1, step))


def clock_times() -> tuple[Phrase, ...]:
    """The times that people say: ten for each of the twelve hours, "half past two" being "halb drei"."""
    times = []
    for hour in range(1, 13):
        after = hour % 12 + 1
        english, english_after = english_number(hour), english_number(after)
        german, german_after = german_number(hour), german_number(after)
        times.append(Phrase(f"{english} o'clock", f"{'ein' if hour == 1 else german} Uhr"))
        times.append(Phrase(f"quarter past {english}", f"Viertel nach {german}"))
        times.append(Phrase(f"half past {english}", f"halb {german_after}"))
        times.append(Phrase(f"quarter to {english_after}", f"Viertel vor {german_after}"))
        for minutes in (5, 10, 20):
            past, to = english_number(minutes), german_number(minutes)
            times.append(Phrase(f"{past} past {english}", f"{to} nach {german}"))
            times.append(Phrase(f"{past} to {english_after}", f"{to} vor {german_after}"))
    return tuple(times)


def timetable(first_hour: int, last_hour: int, step_minutes: int) -> tuple[Phrase, ...]:
    """Times as a timetable prints them: "14:30" is "14:30 Uhr"."""
    times = (
        f"{hour}:{minute:02}" for hour in range(first_hour, last_hour + 1) for minute in range(0, 60, step_minutes)
    )
    return tuple(Phrase(time, f"{time} Uhr") for time in times)


def dates() -> tuple[Phrase, ...]:
    """Every day of a common year: "3 May" is "3. Mai"."""
    return tuple(
        Phrase(f"{day} {month.english}", f"{day}. {month.german}")
        for month, length in zip(MONTHS, _MONTH_DAYS, strict=True)
        for day in range(1, length + 1)
    )


def prices(first_euro: int, last_euro: int, cents: tuple[int, ...]) -> tuple[Phrase, ...]:
    """Prices in euros and cents: "3.50 euros" is "3,50 Euro"."""
    return tuple(
        Phrase(f"{euro}.{cent:02} euros", f"{euro},{cent:02} Euro")
        for euro in range(first_euro, last_euro + 1)
        for cent in cents
    )
