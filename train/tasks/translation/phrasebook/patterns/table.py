"""Eating and drinking."""

import re

from train.tasks.translation.phrasebook.lexicon.food import (
    DRINKS,
    EATEN,
    GROCERIES,
    HOT_DRINKS,
    MEALS,
    SERVED,
    SERVINGS,
    SNACKS,
    WITH,
    WITHOUT,
)
from train.tasks.translation.phrasebook.lexicon.nouns import PAPERS
from train.tasks.translation.phrasebook.lexicon.people import ADULTS, ASKED, RECEIVERS, SUBJECTS, WE, I
from train.tasks.translation.phrasebook.lexicon.words import DEGREES, EATEN_HOT, EVENINGS, TASTES, phrases
from train.tasks.translation.phrasebook.numerals import clock_times, numbers
from train.tasks.translation.phrasebook.template import pattern

_POLITE = phrases("Good morning = Guten Morgen; Good evening = Guten Abend; Excuse me = Entschuldigung")
_ROUND_TIMES = [time for time in clock_times() if re.search("clock|quarter|half", time.english)]

TABLE = (
    pattern(
        "order",
        "{greeting}, I would like {dish.a} and {drink.a}, please.",
        "{greeting}, ich möchte bitte {dish.einen} und {drink.einen}.",
        greeting=_POLITE,
        dish=SNACKS,
        drink=DRINKS,
    ),
    pattern(
        "order_servings",
        "Could we have {number} {serving.many}, please?",
        "Könnten wir bitte {number} {serving.viele} bekommen?",
        number=numbers(2, 12),
        serving=SERVINGS,
    ),
    pattern(
        "will_have",
        "{who} will have {dish.the} and {drink.a}.",
        "{who} {who:nehme|nimmt|nehmen} {dish.den} und {drink.einen}.",
        who=ADULTS,
        dish=SERVED,
        drink=SERVINGS,
    ),
    pattern(
        "tastes_wrong",
        "{dish.the} is {degree} {taste}.",
        "{dish.der} ist {degree} {taste}.",
        dish=SERVED,
        degree=DEGREES,
        taste=TASTES,
    ),
    pattern(
        "tastes_good",
        "{dish.the} was {good}, but {other.the} was {degree} {taste}.",
        "{dish.der} war {good}, aber {other.der} war {degree} {taste}.",
        dish=SERVED[:8],
        good=EATEN_HOT,
        other=SERVED[8:],
        degree=DEGREES[:2],
        taste=TASTES,
    ),
    pattern(
        "reserve_table",
        "{who} would like to reserve a table for {number} people at {time}.",
        "{who} {who:möchte|möchte|möchten} für {time} einen Tisch für {number} Personen reservieren.",
        who=(I, WE),
        number=numbers(2, 12),
        time=_ROUND_TIMES,
    ),
    pattern(
        "table_free",
        "Do you have a table for {number} people {when}?",
        "Haben Sie {when} einen Tisch für {number} Personen?",
        number=numbers(2, 12),
        when=EVENINGS,
    ),
    pattern(
        "bring_paper",
        "Could you bring {who.him} {paper.the}, please?",
        "Könnten Sie {who.ihm} bitte {paper.den} bringen?",
        who=RECEIVERS,
        paper=PAPERS,
    ),
    pattern(
        "with_without",
        "{drink.a} with {added} but without {left_out}, please.",
        "{drink.einen} mit {added}, aber ohne {left_out}, bitte.",
        drink=HOT_DRINKS,
        added=WITH,
        left_out=WITHOUT,
    ),
    pattern(
        "drinks_it_with",
        "{who} {who:drink|drinks} {drink} with {added} but without {left_out}.",
        "{who} {who:trinke|trinkt|trinken} {drink} mit {added}, aber ohne {left_out}.",
        who=ADULTS,
        drink=HOT_DRINKS,
        added=WITH,
        left_out=WITHOUT,
    ),
    pattern(
        "does_not_eat",
        "{who} {who:do|does} not eat {food}.",
        "{who} {who:esse|isst|essen} {food.keinen}.",
        who=SUBJECTS,
        food=EATEN,
    ),
    pattern(
        "does_not_drink",
        "{who} {who:do|does} not drink {drink}.",
        "{who} {who:trinke|trinkt|trinken} {drink.keinen}.",
        who=SUBJECTS,
        drink=DRINKS,
    ),
    pattern(
        "likes_drinking",
        "{who} {who:like|likes} to drink {drink} with {meal}.",
        "{who} {who:trinke|trinkt|trinken} {meal.zum} gern {drink}.",
        who=ADULTS,
        drink=DRINKS,
        meal=MEALS[1:],
    ),
    pattern(
        "prefers",
        "{who} {who:prefer|prefers} {drink} to {other}.",
        "{who} {who:trinke|trinkt|trinken} lieber {drink} als {other}.",
        who=ADULTS,
        drink=DRINKS[:5],
        other=DRINKS[5:],
    ),
    pattern(
        "none_left",
        "{who} {who:have|has} no {food} left.",
        "{who} {who:habe|hat|haben} {food.keinen} mehr.",
        who=SUBJECTS,
        food=GROCERIES,
    ),
    pattern(
        "any_left",
        "{who:Do|Does} {who} have any {food} left?",
        "{who:Habe|Hat|Haben} {who} noch {food}?",
        who=ASKED,
        food=GROCERIES,
    ),
    pattern(
        "drink_with_dish",
        "What would {who} like to drink with {dish.the}?",
        "Was {who:möchte|möchte|möchten} {who} {dish.zum} trinken?",
        who=ASKED,
        dish=SERVED,
    ),
    pattern(
        "recommend",
        "Can you recommend {dish.the} to {who.him}?",
        "Können Sie {who.ihm} {dish.den} empfehlen?",
        who=RECEIVERS[:6],
        dish=SERVED,
    ),
)
