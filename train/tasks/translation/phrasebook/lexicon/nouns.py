"""Nouns by meaning, so that a pattern can ask for something that fits its verb."""

from collections.abc import Iterable

from train.tasks.translation.phrasebook.grammar import Gender, Noun

_GENDER: dict[str, Gender] = {"der": "m", "die": "f", "das": "n"}


def noun(english: str, german: str, plural: str, *, english_plural: str = "", oblique: str = "") -> Noun:
    """A noun from its dictionary entry: ``noun("tower", "der Turm", "Türme")``."""
    article, singular = german.split(" ", 1)
    return Noun(
        english=english,
        german=singular,
        gender=_GENDER[article],
        english_plural=english_plural or _plural(english),
        german_plural=plural,
        oblique=oblique,
    )


def pick(nouns: Iterable[Noun], names: str) -> tuple[Noun, ...]:
    """Some nouns of a group, by their English names, separated by commas."""
    by_name = {noun.english: noun for noun in nouns}
    return tuple(by_name[name] for name in names.split(", "))


def without(nouns: Iterable[Noun], names: str) -> tuple[Noun, ...]:
    """The nouns of a group but for some, by their English names, separated by commas."""
    left_out = names.split(", ")
    return tuple(noun for noun in nouns if noun.english not in left_out)


def _plural(english: str) -> str:
    if english.endswith(("s", "x", "ch", "sh")):
        return english + "es"
    if english.endswith("y") and english[-2] not in "aeiou":
        return english[:-1] + "ies"
    return english + "s"


# What a town has several of: one may ask for "a" or "the nearest".
AMENITIES = (
    noun("bank", "die Bank", "Banken"),
    noun("pharmacy", "die Apotheke", "Apotheken"),
    noun("supermarket", "der Supermarkt", "Supermärkte"),
    noun("post office", "die Post", "Postämter"),
    noun("restaurant", "das Restaurant", "Restaurants"),
    noun("café", "das Café", "Cafés"),
    noun("hospital", "das Krankenhaus", "Krankenhäuser"),
    noun("police station", "die Polizeiwache", "Polizeiwachen"),
    noun("bus stop", "die Bushaltestelle", "Bushaltestellen"),
    noun("underground station", "die U-Bahn-Station", "U-Bahn-Stationen"),
    noun("car park", "der Parkplatz", "Parkplätze"),
    noun("theatre", "das Theater", "Theater"),
    noun("cinema", "das Kino", "Kinos"),
    noun("library", "die Bibliothek", "Bibliotheken"),
    noun("park", "der Park", "Parks"),
    noun("swimming pool", "das Schwimmbad", "Schwimmbäder"),
    noun("bakery", "die Bäckerei", "Bäckereien"),
    noun("bookshop", "die Buchhandlung", "Buchhandlungen"),
    noun("petrol station", "die Tankstelle", "Tankstellen"),
    noun("hotel", "das Hotel", "Hotels"),
    noun("cash machine", "der Geldautomat", "Geldautomaten", oblique="Geldautomaten"),
    noun("youth hostel", "die Jugendherberge", "Jugendherbergen"),
    noun("campsite", "der Campingplatz", "Campingplätze"),
    noun("shopping centre", "das Einkaufszentrum", "Einkaufszentren"),
    noun("market", "der Markt", "Märkte"),
    noun("museum", "das Museum", "Museen"),
    noun("church", "die Kirche", "Kirchen"),
    noun("playground", "der Spielplatz", "Spielplätze"),
    noun("flower shop", "der Blumenladen", "Blumenläden"),
    noun("taxi rank", "der Taxistand", "Taxistände"),
    noun("school", "die Schule", "Schulen"),
)

# What a town has one of.
SIGHTS = (
    noun("castle", "das Schloss", "Schlösser"),
    noun("cathedral", "der Dom", "Dome"),
    noun("old town", "die Altstadt", "Altstädte"),
    noun("harbour", "der Hafen", "Häfen"),
    noun("beach", "der Strand", "Strände"),
    noun("zoo", "der Zoo", "Zoos"),
    noun("town hall", "das Rathaus", "Rathäuser"),
    noun("stadium", "das Stadion", "Stadien", english_plural="stadiums"),
    noun("university", "die Universität", "Universitäten"),
    noun("opera", "die Oper", "Opern"),
    noun("bridge", "die Brücke", "Brücken"),
    noun("tower", "der Turm", "Türme"),
    noun("market square", "der Marktplatz", "Marktplätze"),
    noun("airport", "der Flughafen", "Flughäfen"),
    noun("station", "der Bahnhof", "Bahnhöfe"),
    noun("embassy", "die Botschaft", "Botschaften"),
    noun("lighthouse", "der Leuchtturm", "Leuchttürme"),
    noun("monument", "das Denkmal", "Denkmäler"),
    noun("fountain", "der Brunnen", "Brunnen"),
    noun("lake", "der See", "Seen"),
)
PLACES = AMENITIES + SIGHTS
CORNERS = (
    noun("traffic lights", "die Ampel", "Ampeln", english_plural="traffic lights"),
    noun("crossing", "die Kreuzung", "Kreuzungen"),
    noun("roundabout", "der Kreisverkehr", "Kreisverkehre"),
)
STARTING_POINTS = pick(PLACES, "station, airport, hotel, harbour, beach, campsite, university, market square")
DESTINATIONS = without(PLACES, ", ".join(place.english for place in STARTING_POINTS))
# One goes "in" these ("ins Museum"), rather than "zu" them.
OUTINGS = pick(
    PLACES,
    "museum, theatre, cinema, opera, zoo, park, church, library, café, restaurant, swimming pool, old town, stadium",
)
STOPS = pick(
    PLACES,
    "station, airport, zoo, town hall, stadium, university, harbour, beach, market square, hospital, museum, theatre, "
    "opera, castle, cathedral, swimming pool, shopping centre, library, bridge, park, lake, embassy",
)
WANTED = without(AMENITIES, "hospital, theatre, library, museum, church, school, campsite")
# They have a door that is open or closed.
OPENED = pick(
    PLACES,
    "bank, pharmacy, supermarket, post office, restaurant, café, library, swimming pool, bakery, bookshop, market, "
    "museum, church, flower shop, castle, zoo, town hall, shopping centre, tower, cathedral",
)

VEHICLES = (
    noun("train", "der Zug", "Züge"),
    noun("bus", "der Bus", "Busse"),
    noun("tram", "die Straßenbahn", "Straßenbahnen"),
    noun("ferry", "die Fähre", "Fähren"),
    noun("taxi", "das Taxi", "Taxis"),
    noun("plane", "das Flugzeug", "Flugzeuge"),
    noun("ship", "das Schiff", "Schiffe"),
    noun("bicycle", "das Fahrrad", "Fahrräder"),
    noun("car", "das Auto", "Autos"),
    noun("underground", "die U-Bahn", "U-Bahnen"),
)
TRAINS = (*pick(VEHICLES, "train, bus"), noun("night train", "der Nachtzug", "Nachtzüge"))

BELONGINGS = (
    noun("key", "der Schlüssel", "Schlüssel"),
    noun("passport", "der Pass", "Pässe"),
    noun("ticket", "die Fahrkarte", "Fahrkarten"),
    noun("suitcase", "der Koffer", "Koffer"),
    noun("bag", "die Tasche", "Taschen"),
    noun("mobile phone", "das Handy", "Handys"),
    noun("wallet", "die Geldbörse", "Geldbörsen"),
    noun("umbrella", "der Regenschirm", "Regenschirme"),
    noun("camera", "die Kamera", "Kameras"),
    noun("book", "das Buch", "Bücher"),
    noun("city map", "der Stadtplan", "Stadtpläne"),
    noun("watch", "die Armbanduhr", "Armbanduhren"),
    noun("rucksack", "der Rucksack", "Rucksäcke"),
    noun("credit card", "die Kreditkarte", "Kreditkarten"),
    noun("charger", "das Ladegerät", "Ladegeräte"),
    noun("driving licence", "der Führerschein", "Führerscheine"),
    noun("ring", "der Ring", "Ringe"),
    noun("notebook", "das Notizbuch", "Notizbücher"),
)
LAID_DOWN = pick(BELONGINGS, "key, passport, book, camera, city map, wallet, notebook, credit card")
STOOD_UP = pick(BELONGINGS, "suitcase, bag, rucksack")

CLOTHES = (
    noun("shirt", "das Hemd", "Hemden"),
    noun("dress", "das Kleid", "Kleider"),
    noun("skirt", "der Rock", "Röcke"),
    noun("coat", "der Mantel", "Mäntel"),
    noun("jacket", "die Jacke", "Jacken"),
    noun("hat", "der Hut", "Hüte"),
    noun("scarf", "der Schal", "Schals", english_plural="scarves"),
    noun("jumper", "der Pullover", "Pullover"),
    noun("blouse", "die Bluse", "Blusen"),
    noun("T-shirt", "das T-Shirt", "T-Shirts"),
    noun("suit", "der Anzug", "Anzüge"),
    noun("belt", "der Gürtel", "Gürtel"),
    noun("cap", "die Mütze", "Mützen"),
)
SIZED_CLOTHES = without(CLOTHES, "hat, scarf, belt, cap")

FURNITURE = (
    noun("table", "der Tisch", "Tische"),
    noun("bed", "das Bett", "Betten"),
    noun("chair", "der Stuhl", "Stühle"),
    noun("cupboard", "der Schrank", "Schränke"),
    noun("shelf", "das Regal", "Regale", english_plural="shelves"),
    noun("door", "die Tür", "Türen"),
    noun("window", "das Fenster", "Fenster"),
    noun("sofa", "das Sofa", "Sofas"),
    noun("desk", "der Schreibtisch", "Schreibtische"),
    noun("lamp", "die Lampe", "Lampen"),
)

ROOMS = (
    noun("room", "das Zimmer", "Zimmer"),
    noun("bedroom", "das Schlafzimmer", "Schlafzimmer"),
    noun("living room", "das Wohnzimmer", "Wohnzimmer"),
    noun("flat", "die Wohnung", "Wohnungen"),
    noun("kitchen", "die Küche", "Küchen"),
)
WET_ROOMS = (noun("bathroom", "das Badezimmer", "Badezimmer"), *pick(ROOMS, "room, flat"))
DEVICES = (
    noun("heating", "die Heizung", "Heizungen"),
    noun("lamp", "die Lampe", "Lampen"),
    noun("television", "der Fernseher", "Fernseher"),
    noun("telephone", "das Telefon", "Telefone"),
    noun("air conditioning", "die Klimaanlage", "Klimaanlagen"),
    noun("radio", "das Radio", "Radios"),
    noun("light", "das Licht", "Lichter"),
    noun("socket", "die Steckdose", "Steckdosen"),
)
WET_DEVICES = (
    noun("shower", "die Dusche", "Duschen"),
    noun("hair dryer", "der Föhn", "Föhne"),
    noun("tap", "der Wasserhahn", "Wasserhähne"),
    noun("toilet", "die Toilette", "Toiletten"),
    noun("washing machine", "die Waschmaschine", "Waschmaschinen"),
)
HOTEL_ROOMS = (
    noun("single room", "das Einzelzimmer", "Einzelzimmer"),
    noun("double room", "das Doppelzimmer", "Doppelzimmer"),
    noun("family room", "das Familienzimmer", "Familienzimmer"),
    noun("holiday flat", "die Ferienwohnung", "Ferienwohnungen"),
)
SUPPLIES = (
    noun("towel", "das Handtuch", "Handtücher"),
    noun("pillow", "das Kissen", "Kissen"),
    noun("blanket", "die Decke", "Decken"),
    noun("cup", "die Tasse", "Tassen"),
    noun("plate", "der Teller", "Teller"),
    noun("fork", "die Gabel", "Gabeln"),
    noun("knife", "das Messer", "Messer", english_plural="knives"),
    noun("spoon", "der Löffel", "Löffel"),
    noun("napkin", "die Serviette", "Servietten"),
    noun("glass", "das Glas", "Gläser"),
)
BEDDING = pick(SUPPLIES, "towel, pillow, blanket")
PAPERS = (
    noun("menu", "die Speisekarte", "Speisekarten"),
    noun("bill", "die Rechnung", "Rechnungen"),
    noun("wine list", "die Weinkarte", "Weinkarten"),
    noun("receipt", "die Quittung", "Quittungen"),
)

EVENTS = (
    noun("concert", "das Konzert", "Konzerte"),
    noun("film", "der Film", "Filme"),
    noun("guided tour", "die Führung", "Führungen"),
    noun("meeting", "die Besprechung", "Besprechungen"),
    noun("performance", "die Vorstellung", "Vorstellungen"),
    noun("party", "die Feier", "Feiern"),
    noun("match", "das Spiel", "Spiele"),
    noun("course", "der Kurs", "Kurse"),
    noun("exhibition", "die Ausstellung", "Ausstellungen"),
    noun("trip", "der Ausflug", "Ausflüge"),
)
SHOWS = without(EVENTS, "exhibition, trip")
GIFTS = (
    *pick(BELONGINGS, "book, watch, camera, umbrella, rucksack"),
    *pick(CLOTHES, "scarf, hat, jumper, jacket"),
    noun("picture", "das Bild", "Bilder"),
    noun("bunch of flowers", "der Blumenstrauß", "Blumensträuße", english_plural="bunches of flowers"),
    noun("bottle of wine", "die Flasche Wein", "Flaschen Wein", english_plural="bottles of wine"),
    noun("box of chocolates", "die Schachtel Pralinen", "Schachteln Pralinen", english_plural="boxes of chocolates"),
)
BODY_PARTS = (
    noun("knee", "das Knie", "Knie"),
    noun("foot", "der Fuß", "Füße", english_plural="feet"),
    noun("back", "der Rücken", "Rücken"),
    noun("arm", "der Arm", "Arme"),
    noun("leg", "das Bein", "Beine"),
    noun("shoulder", "die Schulter", "Schultern"),
    noun("hand", "die Hand", "Hände"),
    noun("neck", "der Hals", "Hälse"),
    noun("finger", "der Finger", "Finger"),
    noun("ear", "das Ohr", "Ohren"),
)

UNITS = (
    noun("hour", "die Stunde", "Stunden"),
    noun("day", "der Tag", "Tage"),
    noun("week", "die Woche", "Wochen"),
    noun("month", "der Monat", "Monate"),
    noun("year", "das Jahr", "Jahre"),
)
OCCASIONS = (
    noun("wedding", "die Hochzeit", "Hochzeiten"),
    noun("exam", "die Prüfung", "Prüfungen"),
    noun("flight", "der Flug", "Flüge"),
    noun("appointment", "der Termin", "Termine"),
)
BIRTHDAY = noun("birthday", "der Geburtstag", "Geburtstage")
COURTESIES = (
    noun("invitation", "die Einladung", "Einladungen"),
    noun("help", "die Hilfe", "Hilfen"),
    noun("information", "die Auskunft", "Auskünfte"),
    noun("present", "das Geschenk", "Geschenke"),
    noun("letter", "der Brief", "Briefe"),
    noun("conversation", "das Gespräch", "Gespräche"),
    noun("tip", "der Tipp", "Tipps"),
    noun("call", "der Anruf", "Anrufe"),
)
