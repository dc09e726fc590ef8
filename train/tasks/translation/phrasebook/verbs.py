"""Activities: a verb with what belongs to it, and where German puts each part of it in a sentence."""

from dataclasses import dataclass

from train.tasks.translation.phrasebook.grammar import Person

_AUXILIARY = {
    "hat": {"ich": "habe", "er": "hat", "wir": "haben"},
    "ist": {"ich": "bin", "er": "ist", "wir": "sind"},
}


@dataclass(frozen=True, kw_only=True)
class Activity:
    """Something one does, such as "call the embassy" and "die Botschaft anrufen".

    ``particle`` is the separable prefix: it ends a main clause ("ich rufe die Botschaft an") and joins the verb again
    at the end of a subordinate clause ("weil ich die Botschaft anrufe").
    """

    base: str
    third: str
    past: str
    object: str
    complement: str
    particle: str
    stem_infinitive: str
    ich: str
    er: str
    auxiliary: str
    participle: str

    @property
    def english(self) -> str:
        """The bare infinitive: "call the embassy"."""
        return f"{self.base} {self.object}"

    @property
    def german(self) -> str:
        """The infinitive, as after a modal verb: "die Botschaft anrufen"."""
        return f"{self.complement} {self.particle}{self.stem_infinitive}"

    def does(self, who: Person) -> str:
        """English present: "calls the embassy"."""
        return f"{self.third if who.form == 'er' else self.base} {self.object}"

    def did(self) -> str:
        """English past: "called the embassy"."""
        return f"{self.past} {self.object}"

    def finite(self, who: Person) -> str:
        """The German verb in second place: "rufe"."""
        return {"ich": self.ich, "er": self.er, "wir": self.stem_infinitive}[who.form]

    def rest(self) -> str:
        """End a German main clause: "die Botschaft an"."""
        return f"{self.complement} {self.particle}".rstrip()

    def last(self, who: Person) -> str:
        """End a German subordinate clause: "die Botschaft anrufe"."""
        return f"{self.complement} {self.particle}{self.finite(who)}"

    def habe(self, who: Person) -> str:
        """The auxiliary of the German perfect: "habe" or "bin"."""
        return _AUXILIARY[self.auxiliary][who.form]

    def done(self) -> str:
        """End a clause in the German perfect: "die Botschaft angerufen"."""
        return f"{self.complement} {self.participle}"


def activity(english: str, german: str) -> Activity:
    """An activity from two lines of a table.

    English: base, third person and past of the verb, then the rest: ``call/calls/called the embassy``.
    German: what belongs to the verb, a bar, then infinitive, ich, er, auxiliary, participle, with a hyphen after a
    separable prefix: ``die Botschaft | an-rufen rufe ruft hat angerufen``.
    """
    verb, rest = english.split(" ", 1)
    base, third, past = verb.split("/")
    complement, forms = german.split(" | ")
    infinitive, ich, er, auxiliary, participle = forms.split()
    particle, _, stem_infinitive = infinitive.rpartition("-")
    return Activity(
        base=base,
        third=third,
        past=past,
        object=rest,
        complement=complement,
        particle=particle,
        stem_infinitive=stem_infinitive,
        ich=ich,
        er=er,
        auxiliary=auxiliary,
        participle=participle,
    )
