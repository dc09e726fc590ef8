"""Food, drink and the goods of a market."""

from train.tasks.translation.phrasebook.grammar import Noun, Phrase
from train.tasks.translation.phrasebook.lexicon.nouns import noun, pick, without
from train.tasks.translation.phrasebook.numerals import timetable

DISHES = (
    noun("soup", "die Suppe", "Suppen"),
    noun("salad", "der Salat", "Salate"),
    noun("pizza", "die Pizza", "Pizzas"),
    noun("omelette", "das Omelett", "Omeletts"),
    noun("steak", "das Steak", "Steaks"),
    noun("schnitzel", "das Schnitzel", "Schnitzel"),
    noun("sausage", "die Wurst", "Würste"),
    noun("vegetable soup", "die Gemüsesuppe", "Gemüsesuppen"),
    noun("tomato soup", "die Tomatensuppe", "Tomatensuppen"),
    noun("potato salad", "der Kartoffelsalat", "Kartoffelsalate"),
    noun("sandwich", "das Sandwich", "Sandwiches"),
)
SWEETS = (
    noun("pancake", "der Pfannkuchen", "Pfannkuchen"),
    noun("waffle", "die Waffel", "Waffeln"),
    noun("ice cream", "das Eis", "Eis"),
    noun("fruit salad", "der Obstsalat", "Obstsalate"),
    noun("piece of cake", "das Stück Kuchen", "Stücke Kuchen", english_plural="pieces of cake"),
    noun("dessert", "der Nachtisch", "Nachtische"),
)
SNACKS = (
    noun("pretzel", "die Brezel", "Brezeln"),
    noun("bread roll", "das Brötchen", "Brötchen"),
    *pick(DISHES, "sandwich, pizza, salad, sausage, soup"),
    *pick(SWEETS, "pancake, waffle, ice cream, piece of cake"),
)
# A kitchen brings these as "the".
SERVED = (
    *without(DISHES, "sandwich"),
    noun("fish", "der Fisch", "Fische", english_plural="fish"),
    noun("chicken", "das Hähnchen", "Hähnchen"),
    noun("trout", "die Forelle", "Forellen", english_plural="trout"),
    noun("salmon", "der Lachs", "Lachse", english_plural="salmon"),
    noun("goulash", "das Gulasch", "Gulaschs"),
    noun("roast pork", "der Schweinebraten", "Schweinebraten"),
    noun("duck", "die Ente", "Enten"),
    noun("rice", "der Reis", "Reis"),
)

DRINKS = (
    noun("coffee", "der Kaffee", "Kaffees"),
    noun("tea", "der Tee", "Tees"),
    noun("beer", "das Bier", "Biere"),
    noun("mineral water", "das Mineralwasser", "Mineralwasser"),
    noun("orange juice", "der Orangensaft", "Orangensäfte"),
    noun("apple juice", "der Apfelsaft", "Apfelsäfte"),
    noun("lemonade", "die Limonade", "Limonaden"),
    noun("cocoa", "der Kakao", "Kakaos"),
    noun("red wine", "der Rotwein", "Rotweine"),
    noun("white wine", "der Weißwein", "Weißweine"),
    noun("iced tea", "der Eistee", "Eistees"),
)
HOT_DRINKS = pick(DRINKS, "coffee, tea, cocoa")


def _servings(english: str, english_plural: str, german: str, german_plural: str, names: str) -> tuple[Noun, ...]:
    liquids = (*DRINKS, noun("water", "das Wasser", "Wasser"), noun("milk", "die Milch", "Milch"))
    return tuple(
        noun(
            f"{english} of {liquid.english}",
            f"{german} {liquid.german}",
            f"{german_plural} {liquid.german}",
            english_plural=f"{english_plural} of {liquid.english}",
        )
        for liquid in pick(liquids, names)
    )


SERVINGS = (
    *_servings("cup", "cups", "die Tasse", "Tassen", "coffee, tea, cocoa"),
    *_servings(
        "glass", "glasses", "das Glas", "Gläser", "water, milk, red wine, white wine, orange juice, apple juice"
    ),
    *_servings("bottle", "bottles", "die Flasche", "Flaschen", "water, beer, red wine, mineral water, lemonade"),
    *_servings("pot", "pots", "das Kännchen", "Kännchen", "tea, coffee"),
)

PRODUCE = (
    noun("apple", "der Apfel", "Äpfel"),
    noun("pear", "die Birne", "Birnen"),
    noun("orange", "die Orange", "Orangen"),
    noun("banana", "die Banane", "Bananen"),
    noun("tomato", "die Tomate", "Tomaten", english_plural="tomatoes"),
    noun("potato", "die Kartoffel", "Kartoffeln", english_plural="potatoes"),
    noun("onion", "die Zwiebel", "Zwiebeln"),
    noun("carrot", "die Karotte", "Karotten"),
    noun("cherry", "die Kirsche", "Kirschen"),
    noun("strawberry", "die Erdbeere", "Erdbeeren"),
    noun("peach", "der Pfirsich", "Pfirsiche"),
    noun("plum", "die Pflaume", "Pflaumen"),
    noun("mushroom", "der Pilz", "Pilze"),
    noun("lemon", "die Zitrone", "Zitronen"),
)
COUNTED = (*pick(PRODUCE, "apple, pear, orange, banana, lemon, tomato"), noun("egg", "das Ei", "Eier"))

# Without a plural: one has "no bread" or "some cheese".
GROCERIES = (
    noun("bread", "das Brot", "Brote"),
    noun("cheese", "der Käse", "Käse"),
    noun("butter", "die Butter", "Butter"),
    noun("milk", "die Milch", "Milch"),
    noun("sugar", "der Zucker", "Zucker"),
    noun("salt", "das Salz", "Salze"),
    noun("rice", "der Reis", "Reis"),
    noun("honey", "der Honig", "Honige"),
    noun("ham", "der Schinken", "Schinken"),
    noun("yoghurt", "der Joghurt", "Joghurts"),
    noun("flour", "das Mehl", "Mehle"),
    noun("meat", "das Fleisch", "Fleisch"),
    noun("fish", "der Fisch", "Fische"),
    noun("jam", "die Marmelade", "Marmeladen"),
    noun("chocolate", "die Schokolade", "Schokoladen"),
    noun("fruit", "das Obst", "Obst"),
)
EATEN = without(GROCERIES, "milk, sugar, salt, flour")
WEIGHED = pick(GROCERIES, "cheese, butter, sugar, rice, ham, flour, meat, fish, chocolate")
WITH = (Phrase("milk", "Milch"), Phrase("honey", "Honig"), Phrase("cinnamon", "Zimt"), Phrase("rum", "Rum"))
WITHOUT = (Phrase("sugar", "Zucker"), Phrase("cream", "Sahne"))
MEALS = (
    noun("breakfast", "das Frühstück", "Frühstücke"),
    noun("lunch", "das Mittagessen", "Mittagessen"),
    noun("dinner", "das Abendessen", "Abendessen"),
)


def _mealtimes(meal: Noun, first_hour: int, last_hour: int) -> tuple[Phrase, ...]:
    return tuple(
        Phrase(f"{meal.english} is at {time.english}", f"um {time.german} {meal.german}")
        for time in timetable(first_hour, last_hour, 15)
    )


MEALTIMES = (*_mealtimes(MEALS[0], 7, 9), *_mealtimes(MEALS[1], 12, 13), *_mealtimes(MEALS[2], 18, 20))
