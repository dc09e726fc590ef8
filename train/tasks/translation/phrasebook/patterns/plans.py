"""What people do, did, will do, can, must, may and want to do."""

from collections.abc import Sequence

from train.tasks.translation.phrasebook.lexicon.activities import ACTIVITIES, ALLOWED, DUTIES, HABITS, NEGATABLE
from train.tasks.translation.phrasebook.lexicon.nouns import OUTINGS
from train.tasks.translation.phrasebook.lexicon.people import ASKED, SUBJECTS, SUBJECTS_INSIDE, WE, I
from train.tasks.translation.phrasebook.lexicon.words import CITIES, DAYS, EVENINGS, FREQUENCIES, PAST_DAYS
from train.tasks.translation.phrasebook.template import Pattern, pattern
from train.tasks.translation.phrasebook.verbs import Activity


def _modal(name: str, english: str, german: str, activities: Sequence[Activity] = ACTIVITIES) -> Pattern:
    return pattern(
        name,
        f"{{who}} {english} {{do}} {{day}}.",
        f"{{who}} {{who:{german}}} {{day}} {{do}}.",
        who=SUBJECTS,
        do=activities,
        day=DAYS,
    )


def _negative_modal(name: str, english: str, german: str, activities: Sequence[Activity] = NEGATABLE) -> Pattern:
    return pattern(
        name,
        f"{{who}} {english} {{do}} {{day}}.",
        f"{{who}} {{who:{german}}} {{day}} nicht {{do}}.",
        who=SUBJECTS,
        do=activities,
        day=DAYS,
    )


PLANS = (
    _modal("can", "can", "kann|kann|können"),
    _modal("has_to", "{who:have|has} to", "muss|muss|müssen", DUTIES),
    _modal("wants_to", "{who:want|wants} to", "will|will|wollen"),
    _modal("would_like_to", "would like to", "möchte|möchte|möchten"),
    _modal("should", "should", "sollte|sollte|sollten"),
    _modal("will", "will", "werde|wird|werden"),
    _negative_modal("cannot", "cannot", "kann|kann|können"),
    _negative_modal(
        "does_not_have_to",
        "{who:do|does} not have to",
        "muss|muss|müssen",
        [do for do in NEGATABLE if do in DUTIES],
    ),
    _negative_modal("does_not_want_to", "{who:do|does} not want to", "will|will|wollen"),
    pattern(
        "would_you_like_to",
        "Would {who} like to {do} {day}?",
        "{who:Möchte|Möchte|Möchten} {who} {day} {do}?",
        who=ASKED,
        do=ACTIVITIES,
        day=DAYS,
    ),
    pattern(
        "does_he_have_to",
        "{who:Do|Does} {who} have to {do} {day}?",
        "{who:Muss|Muss|Müssen} {who} {day} {do}?",
        who=ASKED,
        do=DUTIES,
        day=DAYS,
    ),
    pattern(
        "shall_we",
        "Shall {who} {do} {day}?",
        "{who:Soll|Soll|Sollen} {who} {day} {do}?",
        who=(I, WE),
        do=ACTIVITIES,
        day=DAYS,
    ),
    pattern(
        "may",
        "May {who} {do}?",
        "{who:Darf|Darf|Dürfen} {who} {do}?",
        who=SUBJECTS_INSIDE,
        do=ALLOWED,
    ),
    pattern(
        "where_can",
        "Where can {who} {do} in {city}?",
        "Wo {who:kann|kann|können} {who} in {city} {do}?",
        who=(I, WE),
        do=[
            do
            for do in ACTIVITIES
            if do.english
            in {"rent a car", "change money", "buy tickets", "buy a newspaper", "book a tour", "see a film"}
        ],
        city=CITIES,
    ),
    pattern(
        "going_out",
        "{who} {who:am|is|are} going to {outing.the} {when}.",
        "{who} {who:gehe|geht|gehen} {when} {outing.ins}.",
        who=SUBJECTS,
        outing=OUTINGS,
        when=EVENINGS,
    ),
    pattern(
        "going_out_asked",
        "{who:Are|Is|Are} {who} going to {outing.the} {when}?",
        "{who:Gehe|Geht|Gehen} {who} {when} {outing.ins}?",
        who=ASKED,
        outing=OUTINGS,
        when=EVENINGS,
    ),
    pattern(
        "habit",
        "{who} {often} {do.does(who)}.",
        "{who} {do.finite(who)} {often} {do.rest}.",
        who=SUBJECTS,
        often=FREQUENCIES,
        do=HABITS,
    ),
    pattern(
        "habit_asked",
        "{who:Do|Does} {who} {often} {do}?",
        "{do.finite(who)} {who} {often} {do.rest}?",
        who=ASKED,
        often=[often for often in FREQUENCIES if often.english in {"often", "always", "sometimes", "usually"}],
        do=HABITS,
    ),
    pattern(
        "did",
        "{who} {do.did} {day}.",
        "{who} {do.habe(who)} {day} {do.done}.",
        who=SUBJECTS,
        do=ACTIVITIES,
        day=PAST_DAYS,
    ),
    pattern(
        "day_first_did",
        "{day} {who} {do.did}.",
        "{day} {do.habe(who)} {who} {do.done}.",
        who=SUBJECTS_INSIDE,
        do=ACTIVITIES,
        day=PAST_DAYS,
    ),
    pattern(
        "did_not",
        "{who} did not {do} {day}.",
        "{who} {do.habe(who)} {day} nicht {do.done}.",
        who=SUBJECTS,
        do=NEGATABLE,
        day=PAST_DAYS,
    ),
    pattern(
        "did_you",
        "Did {who} {do} {day}?",
        "{do.habe(who)} {who} {day} {do.done}?",
        who=ASKED,
        do=ACTIVITIES,
        day=PAST_DAYS,
    ),
)
