"""The embedded corpus: grammatically correct English-German pairs, generated."""

from dataclasses import dataclass
from typing import Annotated, Literal

from dragoman.strict import Setting
from dragoman.tasks.translation.options import Languages
from train.data.corpus import Splits
from train.tasks.translation.pairs import oriented


@dataclass(frozen=True, kw_only=True)
class Phrasebook:
    """How many phrases to generate."""

    kind: Literal["phrasebook"]
    name: Annotated[str, Setting("what the corpus is called in scores")]
    size: Annotated[int, Setting("distinct pairs to generate, all splits together", minimum=100)]
    seed: Annotated[int, Setting("seed of the generator", minimum=0)]

    def read(self, languages: Languages) -> Splits:
        """Generate the pairs; the splits share no sentence."""
        from train.tasks.translation.phrasebook import generate

        book, held = generate(size=self.size, seed=self.seed), Languages(source="en", target="de")
        return Splits(
            name=self.name,
            train=oriented(book.train, languages, held, self.name),
            validation=oriented(book.validation, languages, held, self.name),
            tests={"test": oriented(book.test, languages, held, self.name)},
        )
