"""Shopping: clothes, groceries, prices, comparisons."""

from train.tasks.translation.phrasebook.lexicon.food import COUNTED, PRODUCE, WEIGHED
from train.tasks.translation.phrasebook.lexicon.nouns import BELONGINGS, CLOTHES, GIFTS, SIZED_CLOTHES, pick, without
from train.tasks.translation.phrasebook.lexicon.people import (
    FEMALE_RELATIONS,
    GROUPS,
    HE,
    MALE_RELATIONS,
    RECEIVERS,
    SHE,
    SUBJECTS_INSIDE,
    WE,
    YOU,
    I,
)
from train.tasks.translation.phrasebook.lexicon.words import (
    CLOTHES_ADJECTIVES,
    CLOTHES_MORE,
    COLOURS,
    FIT,
    IN_COLOURS,
    MEANS,
    NEW,
    PAST_DAYS,
    phrases,
)
from train.tasks.translation.phrasebook.numerals import digits, numbers, prices
from train.tasks.translation.phrasebook.template import pattern

_GIVERS = (I, WE, HE, SHE, *MALE_RELATIONS[:2], *MALE_RELATIONS[3:5])
_GIVEN = (FEMALE_RELATIONS[0], FEMALE_RELATIONS[1], *FEMALE_RELATIONS[3:], GROUPS[0], GROUPS[2])
_REPLACED = pick(BELONGINGS, "suitcase, bag, umbrella, camera, rucksack, mobile phone, wallet")
_MENSWEAR = without(CLOTHES, "dress, skirt, blouse")
_BY_KILO = without(PRODUCE, "apple, pear, orange, banana, lemon, tomato")

SHOP = (
    pattern(
        "how_much",
        "How much does {thing.the(colour)} cost?",
        "Wie viel kostet {thing.der(colour)}?",
        thing=CLOTHES,
        colour=COLOURS,
    ),
    pattern(
        "costs",
        "{thing.the(colour)} costs {price}.",
        "{thing.der(colour)} kostet {price}.",
        thing=CLOTHES,
        colour=COLOURS[:5],
        price=prices(19, 89, (50, 90)),
    ),
    pattern(
        "costs_words",
        "{thing.this} costs only {number} euros.",
        "{thing.dieser} kostet nur {number} Euro.",
        thing=CLOTHES + pick(BELONGINGS, "camera, watch, rucksack, bag, suitcase, umbrella, book"),
        number=numbers(11, 99),
    ),
    pattern(
        "looking_for_size",
        "I am looking for {thing.a(colour)} in size {size}.",
        "Ich suche {thing.einen(colour)} in Größe {size}.",
        thing=SIZED_CLOTHES,
        colour=COLOURS,
        size=digits(34, 52, 2),
    ),
    pattern(
        "other_colour",
        "Do you also have {thing.this} {colour}?",
        "Haben Sie {thing.diesen} auch {colour}?",
        thing=CLOTHES,
        colour=IN_COLOURS,
    ),
    pattern(
        "try_on",
        "Can {who} try on {thing.the(colour)}?",
        "{who:Kann|Kann|Können} {who} {thing.den(colour)} anprobieren?",
        who=(I, SHE, *FEMALE_RELATIONS),
        thing=CLOTHES,
        colour=COLOURS,
    ),
    pattern(
        "more_than",
        "{thing.this} is {more} than {other.the(colour)}.",
        "{thing.dieser} ist {more} als {other.der(colour)}.",
        thing=CLOTHES[:6],
        more=CLOTHES_MORE,
        other=CLOTHES[6:],
        colour=COLOURS,
    ),
    pattern(
        "as_as",
        "{thing.the(colour)} is not as {kind} as {other.the}.",
        "{thing.der(colour)} ist nicht so {kind} wie {other.der}.",
        thing=CLOTHES[6:],
        colour=COLOURS,
        kind=CLOTHES_ADJECTIVES,
        other=CLOTHES[:6],
    ),
    pattern(
        "bought_does_not_fit",
        "The {thing} that {who} bought {when} is {fit}.",
        "{thing.der}, {thing.relative_den} {who} {when} gekauft {who:habe|hat|haben}, ist {fit}.",
        thing=SIZED_CLOTHES,
        who=SUBJECTS_INSIDE[:8],
        when=PAST_DAYS,
        fit=FIT,
    ),
    pattern(
        "likes_it",
        "{who} {who:like|likes} {thing.the(colour)} very much.",
        "{thing.der(colour)} gefällt {who.ihm} sehr.",
        who=RECEIVERS,
        thing=CLOTHES,
        colour=COLOURS,
    ),
    pattern(
        "suits",
        "{thing.the(colour)} suits {who.him} very well.",
        "{thing.der(colour)} steht {who.ihm} sehr gut.",
        thing=CLOTHES,
        colour=COLOURS,
        who=(YOU, SHE, *FEMALE_RELATIONS),
    ),
    pattern(
        "need_new",
        "{who} {who:need|needs} {thing.a(new)}.",
        "{who} {who:brauche|braucht|brauchen} {thing.einen(new)}.",
        who=RECEIVERS,
        thing=_MENSWEAR + _REPLACED,
        new=NEW,
    ),
    pattern(
        "pay_for",
        "Can {who} pay for {thing.the} {means}?",
        "{who:Kann|Kann|Können} {who} {thing.den} {means} bezahlen?",
        who=(I, WE),
        thing=CLOTHES + pick(BELONGINGS, "ticket, book, city map, umbrella, suitcase"),
        means=MEANS,
    ),
    pattern(
        "gift",
        "{who} would like to give {receiver.him} {gift.a} {when}.",
        "{who} {who:möchte|möchte|möchten} {receiver.ihm} {when} {gift.einen} schenken.",
        who=_GIVERS,
        receiver=_GIVEN,
        gift=GIFTS,
        when=phrases("for Christmas = zu Weihnachten; for Easter = zu Ostern; tomorrow = morgen"),
    ),
    pattern(
        "looking_for_gift",
        "{who} {who:am|is|are} looking for {gift.a} for {receiver.him}.",
        "{who} {who:suche|sucht|suchen} {gift.einen} für {receiver.ihn}.",
        who=_GIVERS,
        receiver=_GIVEN,
        gift=GIFTS,
    ),
    pattern(
        "by_piece_and_kilo",
        "I would like {number} {piece.many} and {kilos} kilos of {produce.many}, please.",
        "Ich möchte bitte {number} {piece.viele} und {kilos} Kilo {produce.viele}.",
        number=numbers(2, 12),
        piece=COUNTED,
        kilos=numbers(2, 5),
        produce=_BY_KILO,
    ),
    pattern(
        "by_gram",
        "I would like {grams} grams of {food} and half a kilo of {produce.many}, please.",
        "Ich möchte bitte {grams} Gramm {food} und ein halbes Kilo {produce.viele}.",
        grams=digits(100, 500, 50),
        food=WEIGHED,
        produce=PRODUCE,
    ),
    pattern(
        "kilo_costs",
        "One kilo of {produce.many} costs {price}.",
        "Ein Kilo {produce.viele} kostet {price}.",
        produce=PRODUCE,
        price=prices(1, 9, (20, 50, 80, 90)),
    ),
)
