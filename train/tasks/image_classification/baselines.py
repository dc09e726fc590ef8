"""Simple methods beside which every score of a classifier stands: the majority class, and lines in a grey picture."""

import random
from collections.abc import Sequence

from train.data.corpus import Example
from train.tasks.base import Baseline
from train.tasks.classification.baselines import METRICS, majority_class
from train.tasks.image_classification.decoded import DecodedImages
from train.tasks.image_classification.statistics import small_grey

# Of 64 numbers a class, more examples change little and take longer.
MOST_EXAMPLES = 10_000
# Enough to come to an end on pictures of that size; the last of them change the third digit of the accuracy.
ITERATIONS = 200


def fit_baselines(training: Sequence[Example], decoded: DecodedImages) -> list[Baseline]:
    """Fit both to labelled images; the same images give the same answers."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    chooser = random.Random(0)  # noqa: S311 - a seeded choice, no secret
    chosen = chooser.sample(training, min(MOST_EXAMPLES, len(training)))
    found = [majority_class(training)]
    if len({label for _, label in chosen}) > 1:
        pictures = small_grey(decoded.pixels([image for image, _ in chosen]))
        lines = make_pipeline(StandardScaler(), LogisticRegression(max_iter=ITERATIONS, random_state=0))
        lines.fit(pictures, [label for _, label in chosen])

        def answer(images: Sequence[bytes]) -> list[dict[str, float]]:
            usable = [image for image in images if decoded.flaw(image) is None]
            labels = lines.predict(small_grey(decoded.pixels(usable))) if usable else []
            by_image = dict(zip(usable, map(str, labels), strict=True))
            return [{by_image[image]: 1.0} if image in by_image else {} for image in images]

        found.append(Baseline(name="8x8 grey + logistic regression", metrics=METRICS, answer=answer))
    return found
