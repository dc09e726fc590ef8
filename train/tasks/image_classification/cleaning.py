"""What the cleaning of labelled inputs (``train.tasks.classification.cleaning``) means for images.

A file that cannot be decoded is left out of every split under the code of its error, as a server would refuse it:
``damaged_image``, ``unsupported_image`` or ``image_too_large``. Two images are the same when all their pixels are,
before they are resized and however they are stored.
"""

import dataclasses
from typing import Any

from train.data.corpus import CleanCorpus, Example, Splits
from train.tasks.classification import cleaning
from train.tasks.classification.classes import ClassSettings, Words, given_names
from train.tasks.image_classification.decoded import DecodedImages

WORDS = Words(item="image", labels="the folders, or data.label_column")
# The report shows where so many images of each reason stand.
PLACES = 20
# More broken files than that are no accident, but an odd format or a copy that went wrong.
MANY = 0.1
BROKEN = ("damaged_image", "unsupported_image", "image_too_large")


def clean(splits: Splits, classes: ClassSettings, decoded: DecodedImages) -> CleanCorpus:
    """Decode everything and leave out bad and leaking images; raises DataError where too little is left."""
    splits = named_labels(splits, classes)
    decoded.add(image for _, examples in splits.items() for image, _ in examples)
    inputs = cleaning.Inputs(words=WORDS, flaw=decoded.flaw, same=decoded.same, leak=decoded.same, places=PLACES)
    corpus = cleaning.clean(splits, classes, inputs)
    summary = corpus.summary
    read = sum(report.read for report in corpus.reports.values())
    broken = sum(report.dropped[reason] for report in corpus.reports.values() for reason in BROKEN)
    if "ignored_files" in splits.notes:
        counts: Any = splits.notes["ignored_files"]
        summary += f"; passed over: {', '.join(f'{count:,} {reason}' for reason, count in counts.items())}"
    if broken > MANY * read:
        summary += f"; {broken / read:.0%} of all images cannot be decoded, corpus.json of the run names some"
    return dataclasses.replace(corpus, summary=summary)


def named_labels(splits: Splits, classes: ClassSettings) -> Splits:
    """Give numbered classes their names, where ``classes.names`` lists names and every label is one of its numbers."""
    if classes.names is None:
        return splits
    names = given_names(classes.names)
    numbers = {str(number): name for number, name in enumerate(names)}
    labels = {label for _, examples in splits.items() for _, label in examples}
    if not labels <= numbers.keys() or labels & set(names):
        return splits

    def renamed(example: Example) -> Example:
        return example[0], numbers[example[1]]

    return dataclasses.replace(
        splits,
        train=list(map(renamed, splits.train)),
        validation=list(map(renamed, splits.validation)),
        tests={name: list(map(renamed, examples)) for name, examples in splits.tests.items()},
        places={renamed(example): place for example, place in splits.places.items()},
    )
