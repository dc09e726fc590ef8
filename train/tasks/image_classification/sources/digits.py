"""The demonstration corpus: scikit-learn's pictures of handwritten digits, which need no download."""

from dataclasses import dataclass
from typing import Annotated, Literal

from dragoman.strict import Setting
from train.data.corpus import Splits
from train.run.progress import Tell, silent
from train.tasks.image_classification.digits import digit_pictures


@dataclass(frozen=True, kw_only=True)
class Digits:
    """The embedded corpus: 1,797 small pictures of the digits from 0 to 9."""

    kind: Literal["digits"]
    name: Annotated[str, Setting("what the corpus is called in scores")]
    seed: Annotated[int, Setting("seed of the division into training, validation and test", minimum=0)]

    def read(self, tell: Tell = silent) -> Splits:
        """Draw the pictures: 600 for the test, 200 for validation, the others for training."""
        splits = digit_pictures(self.seed)
        return Splits(
            name=self.name,
            train=splits["train"],
            validation=splits["validation"],
            tests={"test": splits["test"]},
            stratified=True,
        )
