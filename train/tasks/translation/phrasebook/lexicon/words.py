"""Words that never change their form: names, adverbs, set phrases; and the adjectives."""

from train.tasks.translation.phrasebook.grammar import Adjective, Phrase


def phrases(table: str) -> tuple[Phrase, ...]:
    """Phrases, each written ``English = German``, separated by semicolons."""
    return tuple(Phrase(*entry) for entry in _entries(table))


def adjectives(table: str) -> tuple[Adjective, ...]:
    """Adjectives, written like phrases; a third part is the stem for German endings where it differs."""
    return tuple(Adjective(*entry) for entry in _entries(table))


def _entries(table: str) -> list[list[str]]:
    return [entry.split(" = ") for entry in " ".join(table.split()).split("; ")]


CITIES = phrases(
    """
    Berlin = Berlin; Hamburg = Hamburg; Munich = München; Cologne = Köln; Vienna = Wien; Zurich = Zürich;
    Salzburg = Salzburg; Dresden = Dresden; Leipzig = Leipzig; Bremen = Bremen; Stuttgart = Stuttgart;
    Nuremberg = Nürnberg; Geneva = Genf; Prague = Prag; Hanover = Hannover; Brussels = Brüssel; Warsaw = Warschau;
    Paris = Paris; Milan = Mailand; Venice = Venedig
    """
)
NEAR_CITIES, FAR_CITIES = CITIES[:8], CITIES[8:]
COUNTRIES = phrases(
    """
    Germany = Deutschland; Austria = Österreich; Italy = Italien; France = Frankreich; Spain = Spanien;
    England = England; Poland = Polen; Greece = Griechenland; Sweden = Schweden; Portugal = Portugal;
    Norway = Norwegen; Denmark = Dänemark; Canada = Kanada; Japan = Japan; Brazil = Brasilien
    """
)
LANGUAGES = phrases(
    """
    English = Englisch; German = Deutsch; French = Französisch; Spanish = Spanisch; Italian = Italienisch;
    Polish = Polnisch; Turkish = Türkisch; Russian = Russisch; Chinese = Chinesisch; Dutch = Niederländisch
    """
)
WEEKDAYS = phrases(
    """
    Monday = Montag; Tuesday = Dienstag; Wednesday = Mittwoch; Thursday = Donnerstag; Friday = Freitag;
    Saturday = Samstag; Sunday = Sonntag
    """
)
EACH_WEEKDAY = tuple(Phrase(f"on {day.english}s", f"{day.german.lower()}s") for day in WEEKDAYS)
ON_WEEKDAY = tuple(Phrase(f"on {day.english}", f"am {day.german}") for day in WEEKDAYS)
DAYS = (
    *phrases(
        """
    today = heute; tomorrow = morgen; next week = nächste Woche; at the weekend = am Wochenende
    """
    ),
    *ON_WEEKDAY,
)
EVENINGS = (
    *phrases(
        """
    tonight = heute Abend; tomorrow evening = morgen Abend; this afternoon = heute Nachmittag
    """
    ),
    *(Phrase(f"on {day.english} evening", f"am {day.german}abend") for day in WEEKDAYS),
)
PAST_DAYS = (
    *phrases("yesterday = gestern; last week = letzte Woche; the day before yesterday = vorgestern"),
    *phrases(
        """
    two days ago = vor zwei Tagen; last month = letzten Monat; last weekend = letztes Wochenende
    """
    ),
)
FREQUENCIES = phrases(
    """
    often = oft; always = immer; never = nie; sometimes = manchmal; rarely = selten; usually = meistens
    """
)
SINCE = (
    *phrases(
        """
    yesterday = gestern; this morning = heute Morgen; last week = letzter Woche; last night = letzter Nacht
    """
    ),
    *WEEKDAYS,
)

COLOURS = adjectives(
    """
    red = rot; blue = blau; green = grün; black = schwarz; white = weiß; grey = grau; brown = braun; yellow = gelb
    """
)
IN_COLOURS = tuple(Phrase(f"in {colour.english}", f"in {colour.german.capitalize()}") for colour in COLOURS)
CLOTHES_ADJECTIVES = adjectives(
    """
    cheap = günstig; expensive = teuer = teur; beautiful = schön; warm = warm; comfortable = bequem;
    elegant = elegant
    """
)
NEW = adjectives("new = neu; better = besser; bigger = größer; cheaper = günstiger")
CLOTHES_MORE = phrases(
    """
    cheaper = günstiger; more expensive = teurer; more beautiful = schöner; warmer = wärmer;
    more comfortable = bequemer; more elegant = eleganter
    """
)
FIT = phrases(
    """
    too big = zu groß; too small = zu klein; too long = zu lang; too short = zu kurz; too tight = zu eng;
    too wide = zu weit; very beautiful = sehr schön; very comfortable = sehr bequem
    """
)
HOTEL_ADJECTIVES = adjectives(
    """
    quiet = ruhig; cheap = günstig; big = groß; small = klein; bright = hell; clean = sauber; modern = modern;
    comfortable = bequem
    """
)
VEHICLE_MORE = phrases(
    """
    faster = schneller; cheaper = günstiger; more comfortable = bequemer; safer = sicherer; slower = langsamer;
    more expensive = teurer
    """
)
PLACE_MOST = adjectives(
    """
    oldest = ältest; biggest = größt; smallest = kleinst; most beautiful = schönst; most famous = berühmtest;
    most modern = modernst
    """
)
TASTES = phrases(
    """
    cold = kalt; salty = salzig; hot = heiß; spicy = scharf; fatty = fettig
    """
)
DEGREES = phrases("too = zu; very = sehr; a little = ein bisschen; much too = viel zu")
EATEN_HOT = phrases("delicious = köstlich; excellent = ausgezeichnet; fresh = frisch")

STATES = phrases("open = geöffnet; closed = geschlossen")
LEFT_RIGHT = phrases("left = links; right = rechts")
ROOM_FEATURES = phrases(
    """
    with a balcony = mit Balkon; with a bath = mit Bad; with a shower = mit Dusche; with a sea view = mit Meerblick;
    with breakfast = mit Frühstück
    """
)
MEANS = phrases(
    """
    by credit card = mit Kreditkarte; in cash = bar; in dollars = in Dollar; with my mobile phone = mit dem Handy
    """
)
FAILURES = phrases(
    """
    does not work = funktioniert nicht; is broken = ist kaputt; is very old = ist sehr alt;
    was already broken yesterday = war schon gestern kaputt
    """
)
AILMENTS = phrases(
    """
    a headache = Kopfschmerzen; toothache = Zahnschmerzen; stomach ache = Bauchschmerzen;
    a sore throat = Halsschmerzen; backache = Rückenschmerzen; a fever = Fieber; a cough = Husten;
    a cold = Schnupfen; earache = Ohrenschmerzen
    """
)
DOSES = phrases(
    """
    one tablet = eine Tablette; two tablets = zwei Tabletten; three tablets = drei Tabletten;
    one capsule = eine Kapsel; two capsules = zwei Kapseln; five drops = fünf Tropfen; ten drops = zehn Tropfen;
    twenty drops = zwanzig Tropfen
    """
)
ALLERGENS = phrases(
    """
    nuts = Nüsse; milk = Milch; eggs = Eier; fish = Fisch; cats = Katzen; dogs = Hunde; strawberries = Erdbeeren;
    honey = Honig; penicillin = Penizillin; soya = Soja
    """
)
TOPICS = phrases(
    """
    art = Kunst; music = Musik; history = Geschichte; football = Fußball; politics = Politik;
    architecture = Architektur; technology = Technik; literature = Literatur; old churches = alte Kirchen;
    modern art = moderne Kunst; foreign languages = Fremdsprachen; flowers = Blumen
    """
)
WHERE = phrases(
    """
    at the station = am Bahnhof; at the airport = am Flughafen; in the hotel = im Hotel; on the train = im Zug;
    on the bus = im Bus; on the beach = am Strand; in the restaurant = im Restaurant; in the taxi = im Taxi;
    in the museum = im Museum; in the park = im Park; in the café = im Café; in the swimming pool = im Schwimmbad;
    in the office = im Büro; in the car = im Auto; in the theatre = im Theater
    """
)
GREETINGS = phrases(
    "good morning = guten Morgen; good afternoon = guten Tag; good evening = guten Abend; good night = gute Nacht; "
    "welcome = willkommen; excuse me = Entschuldigung; thank you very much = vielen Dank; hello = hallo"
)
FAREWELLS = phrases("goodbye = auf Wiedersehen; thank you very much = vielen Dank")
WISHES = phrases(
    """
    have a nice day = einen schönen Tag; have a good journey = gute Reise;
    have a nice weekend = ein schönes Wochenende; have a nice evening = einen schönen Abend;
    see you tomorrow = bis morgen; see you later = bis später; see you soon = bis bald
    """
)
SKIES = phrases("sunny = sonnig; windy = windig; cloudy = bewölkt; rainy = regnerisch; dry = trocken")
TEMPERATURES = phrases("warm = warm; cold = kalt; cool = kühl; mild = mild")
_WEATHERS = phrases(
    "it rains = es {} regnet; it snows = es {} schneit; the sun shines = die Sonne {} scheint; "
    "the weather is bad = das Wetter {} schlecht ist; it is cold = es {} kalt ist"
)
CONDITIONS = tuple(
    Phrase(f"{weather.english} {day.english}", weather.german.format(day.german))
    for weather in _WEATHERS
    for day in DAYS
)
FEELINGS = phrases("tired = müde; ill = krank; very tired = sehr müde; sad = traurig; nervous = nervös")
STAYING = phrases("at home = zu Hause; in bed = im Bett; in the hotel = im Hotel; in the room = im Zimmer")
ERRANDS = phrases(
    """
    to the bank to change money = zur Bank, um Geld zu wechseln;
    to the market to buy vegetables = zum Markt, um Gemüse zu kaufen;
    to the station to buy tickets = zum Bahnhof, um Fahrkarten zu kaufen;
    to the post office to send a parcel = zur Post, um ein Paket zu verschicken;
    to the library to read a book = in die Bibliothek, um ein Buch zu lesen;
    to the park to play football = in den Park, um Fußball zu spielen;
    to the supermarket to buy milk = zum Supermarkt, um Milch zu kaufen;
    to the bakery to buy bread = zur Bäckerei, um Brot zu kaufen;
    to the café to drink a coffee = ins Café, um einen Kaffee zu trinken;
    to the lake to swim = zum See, um zu schwimmen;
    to the airport to collect the guests = zum Flughafen, um die Gäste abzuholen;
    to the pharmacy to collect tablets = zur Apotheke, um Tabletten abzuholen;
    to the harbour to see the ships = zum Hafen, um die Schiffe zu sehen;
    to the castle to take photographs = zum Schloss, um zu fotografieren
    """
)
SET_PHRASES = phrases(
    """
    thank you very much! = vielen Dank!; you are welcome. = gern geschehen.; good morning! = guten Morgen!;
    good afternoon! = guten Tag!; good evening! = guten Abend!; good night! = gute Nacht!;
    goodbye! = auf Wiedersehen!; how are you? = wie geht es Ihnen?; I am fine, thank you. = mir geht es gut, danke.;
    yes, please. = ja, bitte.; no, thank you. = nein, danke.; I am sorry. = es tut mir leid.;
    excuse me, please. = entschuldigen Sie bitte.; I do not understand. = ich verstehe nicht.;
    I do not know. = ich weiß nicht.; help! = Hilfe!; please speak more slowly. = sprechen Sie bitte langsamer.;
    could you repeat that, please? = könnten Sie das bitte wiederholen?; what does that mean? = was bedeutet das?;
    what is your name? = wie heißen Sie?; where are you from? = woher kommen Sie?;
    nice to meet you. = freut mich, Sie kennenzulernen.; see you tomorrow! = bis morgen!; see you soon! = bis bald!;
    have a good journey! = gute Reise!; enjoy your meal! = guten Appetit!; cheers! = zum Wohl!;
    congratulations! = herzlichen Glückwunsch!; happy birthday! = alles Gute zum Geburtstag!;
    merry Christmas! = frohe Weihnachten!; happy new year! = frohes neues Jahr!; get well soon! = gute Besserung!;
    good luck! = viel Glück!; what time is it? = wie spät ist es?; how much is that? = wie viel kostet das?;
    the bill, please. = die Rechnung, bitte.; please call a doctor. = rufen Sie bitte einen Arzt.;
    please call the police. = rufen Sie bitte die Polizei.; where are the toilets? = wo sind die Toiletten?;
    do you speak English? = sprechen Sie Englisch?; I am lost. = ich habe mich verlaufen.;
    one moment, please. = einen Moment, bitte.; of course. = natürlich.; that is right. = das stimmt.;
    that is not right. = das stimmt nicht.; it does not matter. = das macht nichts.;
    I am hungry. = ich habe Hunger.; I am thirsty. = ich habe Durst.; I feel ill. = mir ist schlecht.;
    keep the change. = stimmt so.; is this seat free? = ist dieser Platz frei?; all the best! = alles Gute!
    """
)
