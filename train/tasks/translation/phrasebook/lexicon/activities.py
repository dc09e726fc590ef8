"""Activities of people, each with both languages' verb forms."""

from train.tasks.translation.phrasebook.verbs import Activity, activity

# "nicht" stands before the complement of these: "Wir gehen heute nicht ins Kino."
_WITH_PLACE = (
    activity("go/goes/went to the cinema", "ins Kino | gehen gehe geht ist gegangen"),
    activity("go/goes/went to the theatre", "ins Theater | gehen gehe geht ist gegangen"),
    activity("eat/eats/ate in a restaurant", "in einem Restaurant | essen esse isst hat gegessen"),
    activity("travel/travels/travelled to the coast", "an die Küste | fahren fahre fährt ist gefahren"),
    activity("travel/travels/travelled to the mountains", "in die Berge | fahren fahre fährt ist gefahren"),
    activity("swim/swims/swam in the lake", "im See | schwimmen schwimme schwimmt ist geschwommen"),
    activity("walk/walks/walked through the old town", "durch die Altstadt | laufen laufe läuft ist gelaufen"),
    activity("shop/shops/shopped at the market", "auf dem Markt | ein-kaufen kaufe kauft hat eingekauft"),
    activity("work/works/worked in the office", "im Büro | arbeiten arbeite arbeitet hat gearbeitet"),
    activity("sleep/sleeps/slept in a tent", "in einem Zelt | schlafen schlafe schläft hat geschlafen"),
    activity("dance/dances/danced at the party", "auf der Feier | tanzen tanze tanzt hat getanzt"),
    activity("climb/climbs/climbed the tower", "auf den Turm | steigen steige steigt ist gestiegen"),
    activity("stay/stays/stayed at home", "zu Hause | bleiben bleibe bleibt ist geblieben"),
    activity("fly/flies/flew to Rome", "nach Rom | fliegen fliege fliegt ist geflogen"),
    activity("sit/sits/sat in the garden", "im Garten | sitzen sitze sitzt hat gesessen"),
)
_WITH_OBJECT = (
    activity("visit/visits/visited the castle", "das Schloss | besuchen besuche besucht hat besucht"),
    activity("visit/visits/visited the museum", "das Museum | besuchen besuche besucht hat besucht"),
    activity("buy/buys/bought tickets", "Fahrkarten | kaufen kaufe kauft hat gekauft"),
    activity("buy/buys/bought a newspaper", "eine Zeitung | kaufen kaufe kauft hat gekauft"),
    activity("take/takes/took the bus", "den Bus | nehmen nehme nimmt hat genommen"),
    activity("rent/rents/rented a car", "ein Auto | mieten miete mietet hat gemietet"),
    activity("call/calls/called the embassy", "die Botschaft | an-rufen rufe ruft hat angerufen"),
    activity("collect/collects/collected the luggage", "das Gepäck | ab-holen hole holt hat abgeholt"),
    activity("change/changes/changed money", "Geld | wechseln wechsle wechselt hat gewechselt"),
    activity("write/writes/wrote postcards", "Postkarten | schreiben schreibe schreibt hat geschrieben"),
    activity("cook/cooks/cooked a soup", "eine Suppe | kochen koche kocht hat gekocht"),
    activity("see/sees/saw a film", "einen Film | sehen sehe sieht hat gesehen"),
    activity("listen/listens/listened to music", "Musik | hören höre hört hat gehört"),
    activity("play/plays/played cards", "Karten | spielen spiele spielt hat gespielt"),
    activity("play/plays/played football", "Fußball | spielen spiele spielt hat gespielt"),
    activity("read/reads/read a book", "ein Buch | lesen lese liest hat gelesen"),
    activity("learn/learns/learned German", "Deutsch | lernen lerne lernt hat gelernt"),
    activity("wash/washes/washed the car", "das Auto | waschen wasche wäscht hat gewaschen"),
    activity("meet/meets/met the guide", "den Reiseleiter | treffen treffe trifft hat getroffen"),
    activity("help/helps/helped the neighbours", "den Nachbarn | helfen helfe hilft hat geholfen"),
    activity(
        "photograph/photographs/photographed the cathedral",
        "den Dom | fotografieren fotografiere fotografiert hat fotografiert",
    ),
    activity("look/looks/looked for a flat", "eine Wohnung | suchen suche sucht hat gesucht"),
    activity("invite/invites/invited the neighbours", "die Nachbarn | ein-laden lade lädt hat eingeladen"),
    activity("clean/cleans/cleaned the kitchen", "die Küche | putzen putze putzt hat geputzt"),
    activity("repair/repairs/repaired the bicycle", "das Fahrrad | reparieren repariere repariert hat repariert"),
    activity("pay/pays/paid the bill", "die Rechnung | bezahlen bezahle bezahlt hat bezahlt"),
    activity("send/sends/sent a parcel", "ein Paket | verschicken verschicke verschickt hat verschickt"),
    activity("book/books/booked a tour", "eine Führung | buchen buche bucht hat gebucht"),
)
ACTIVITIES: tuple[Activity, ...] = _WITH_PLACE + _WITH_OBJECT
NEGATABLE: tuple[Activity, ...] = _WITH_PLACE
# What one does again and again, for "often" and "never".
HABITS = (
    *_WITH_PLACE[:3],
    *_WITH_PLACE[5:8],
    *(
        habit
        for habit in _WITH_OBJECT
        if habit.english in {"play cards", "play football", "listen to music", "take the bus", "write postcards"}
    ),
    activity("read/reads/read the newspaper", "die Zeitung | lesen lese liest hat gelesen"),
    activity("have/has/had breakfast in bed", "im Bett | frühstücken frühstücke frühstückt hat gefrühstückt"),
    activity("cook/cooks/cooked for friends", "für Freunde | kochen koche kocht hat gekocht"),
    activity("travel/travels/travelled by train", "mit dem Zug | fahren fahre fährt ist gefahren"),
    activity("go/goes/went to work on foot", "zu Fuß zur Arbeit | gehen gehe geht ist gegangen"),
)
# What one has to do rather than wants to.
_PLEASURES = [
    "dance",
    "climb",
    "sit",
    "visit",
    "see",
    "listen",
    "play",
    "photograph",
    "sleep",
    "swim",
    "walk",
    "read",
    "eat",
    "go",
]
DUTIES = tuple(duty for duty in ACTIVITIES if duty.base not in _PLEASURES)
# What one asks leave for, with "here".
ALLOWED = (
    activity("smoke/smokes/smoked here", "hier | rauchen rauche raucht hat geraucht"),
    activity("park/parks/parked here", "hier | parken parke parkt hat geparkt"),
    activity("take/takes/took photographs here", "hier | fotografieren fotografiere fotografiert hat fotografiert"),
    activity("swim/swims/swam here", "hier | schwimmen schwimme schwimmt ist geschwommen"),
    activity("sit/sits/sat here", "hier | sitzen sitze sitzt hat gesessen"),
    activity("wait/waits/waited here", "hier | warten warte wartet hat gewartet"),
    activity("camp/camps/camped here", "hier | zelten zelte zeltet hat gezeltet"),
    activity("make/makes/made a phone call here", "hier | telefonieren telefoniere telefoniert hat telefoniert"),
    activity("open/opens/opened the window", "das Fenster | öffnen öffne öffnet hat geöffnet"),
    activity("close/closes/closed the door", "die Tür | schließen schließe schließt hat geschlossen"),
    activity("ask/asks/asked a question", "eine Frage | stellen stelle stellt hat gestellt"),
    activity("use/uses/used the lift", "den Aufzug | benutzen benutze benutzt hat benutzt"),
    activity("turn/turns/turned on the light", "das Licht | an-machen mache macht hat angemacht"),
)
