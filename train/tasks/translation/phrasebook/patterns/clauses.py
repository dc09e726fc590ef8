"""Two clauses in one sentence: in German, the verb of the second stands last."""

from train.tasks.translation.phrasebook.grammar import Adjective
from train.tasks.translation.phrasebook.lexicon.activities import ACTIVITIES, DUTIES
from train.tasks.translation.phrasebook.lexicon.nouns import AMENITIES, BELONGINGS, OPENED, OUTINGS, SHOWS
from train.tasks.translation.phrasebook.lexicon.people import ASKED, SUBJECTS, SUBJECTS_INSIDE, WE, I
from train.tasks.translation.phrasebook.lexicon.words import (
    AILMENTS,
    CITIES,
    CONDITIONS,
    DAYS,
    EACH_WEEKDAY,
    ERRANDS,
    FEELINGS,
    ON_WEEKDAY,
    STATES,
    STAYING,
    phrases,
)
from train.tasks.translation.phrasebook.template import pattern

_HEADS = phrases(
    "I think = ich glaube; he says = er sagt; we know = wir wissen; she thinks = sie glaubt; "
    "my brother says = mein Bruder sagt; I have heard = ich habe gehört"
)
_ERRANDS = [do for do in DUTIES if do.base in {"buy", "change", "call", "write", "collect", "send", "shop", "pay"}]
_ON_A_VISIT = [
    do for do in ACTIVITIES if do.base in {"eat", "walk", "visit", "rent", "take", "photograph", "write", "go"}
]

CLAUSES = (
    pattern(
        "tell_where_nearest",
        "Can you tell {who.him} where {place.the(nearest)} is?",
        "Können Sie {who.ihm} sagen, wo {place.der(nearest)} ist?",
        who=(I, WE),
        place=AMENITIES,
        nearest=(Adjective("nearest", "nächst"),),
    ),
    pattern(
        "tell_when_leaves",
        "Can you tell {who.him} when the {train} to {city} leaves?",
        "Können Sie {who.ihm} sagen, wann {train} nach {city} abfährt?",
        who=(I, WE),
        train=phrases("next train = der nächste Zug; last bus = der letzte Bus; first train = der erste Zug"),
        city=CITIES,
    ),
    pattern(
        "tell_which_platform",
        "Do you know which platform the {train} to {city} leaves from?",
        "Wissen Sie, von welchem Gleis {train} nach {city} abfährt?",
        train=phrases("train = der Zug; next train = der nächste Zug; night train = der Nachtzug"),
        city=CITIES,
    ),
    pattern(
        "know_whether_open",
        "{who:Do|Does} {who} know whether {place.the} is {state} {day}?",
        "{who:Weiß|Weiß|Wissen} {who}, ob {place.der} {day} {state} ist?",
        who=ASKED[:6],
        place=OPENED,
        state=STATES,
        day=EACH_WEEKDAY,
    ),
    pattern(
        "know_when_begins",
        "{who:Do|Does} {who} know when {event.the} begins {day}?",
        "{who:Weiß|Weiß|Wissen} {who}, wann {event.der} {day} beginnt?",
        who=ASKED,
        event=SHOWS,
        day=ON_WEEKDAY,
    ),
    pattern(
        "think_that",
        "{head} that {place.the} is {state} {day}.",
        "{head}, dass {place.der} {day} {state} ist.",
        head=_HEADS,
        place=OPENED,
        state=STATES,
        day=EACH_WEEKDAY,
    ),
    pattern(
        "hope_that_weather",
        "I hope that the weather in {city} will be good {day}.",
        "Ich hoffe, dass das Wetter in {city} {day} gut wird.",
        city=CITIES,
        day=DAYS[1:],
    ),
    pattern(
        "know_that_did",
        "I know that {who} {do.did} yesterday.",
        "Ich weiß, dass {who} gestern {do.done} {do.habe(who)}.",
        who=SUBJECTS_INSIDE[1:],
        do=ACTIVITIES,
    ),
    pattern(
        "does_not_know_where",
        "{who} {who:do|does} not know where {thing.my(who)} is.",
        "{who} {who:weiß|weiß|wissen} nicht, wo {thing.mein(who)} ist.",
        who=SUBJECTS,
        thing=BELONGINGS,
    ),
    pattern(
        "because_feeling",
        "{who} {who:am|is|are} staying {where} because {who.he} {who:am|is|are} {feeling}.",
        "{who} {who:bleibe|bleibt|bleiben} {where}, weil {who.er} {feeling} {who:bin|ist|sind}.",
        who=SUBJECTS,
        where=STAYING,
        feeling=FEELINGS,
    ),
    pattern(
        "because_ailment",
        "{who} {who:am|is|are} staying {where} because {who.he} {who:have|has} {ailment}.",
        "{who} {who:bleibe|bleibt|bleiben} {where}, weil {who.er} {ailment} {who:habe|hat|haben}.",
        who=SUBJECTS,
        where=STAYING,
        ailment=AILMENTS,
    ),
    pattern(
        "cannot_come_because",
        "{who} cannot come {day} because {who.he} {who:have|has} to {do}.",
        "{who} {who:kann|kann|können} {day} nicht kommen, weil {who.er} {do} {who:muss|muss|müssen}.",
        who=SUBJECTS,
        day=DAYS,
        do=DUTIES,
    ),
    pattern(
        "if_weather",
        "If {condition}, {who} will go to {outing.the}.",
        "Wenn {condition}, {who:gehe|geht|gehen} {who} {outing.ins}.",
        condition=CONDITIONS,
        who=SUBJECTS_INSIDE[:8],
        outing=OUTINGS,
    ),
    pattern(
        "when_in_city",
        "When {who} {who:am|is|are} in {city}, {who.he} always {do.does(who)}.",
        "Wenn {who} in {city} {who:bin|ist|sind}, {do.finite(who)} {who.er} immer {do.rest}.",
        who=SUBJECTS,
        city=CITIES,
        do=_ON_A_VISIT,
    ),
    pattern(
        "before_going",
        "Before {who} {who:go|goes} to {outing.the}, {who.he} would like to {do}.",
        "Bevor {who} {outing.ins} {who:gehe|geht|gehen}, {who:möchte|möchte|möchten} {who.er} {do}.",
        who=SUBJECTS,
        outing=OUTINGS,
        do=_ERRANDS,
    ),
    pattern(
        "in_order_to",
        "{who} {who:am|is|are} going {errand}.",
        "{who} {who:gehe|geht|gehen} {errand}.",
        who=SUBJECTS,
        errand=ERRANDS,
    ),
)
