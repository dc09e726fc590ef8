"""What the cleaning of labelled inputs (``train.tasks.classification.cleaning``) means for texts.

A text without any sign is ``empty``. Two texts are the same when they agree but for white space; what stays keeps its
own. A text leaks into a held-out set in whatever case, which most models never see.
"""

from train.data.corpus import CleanCorpus, Splits
from train.tasks.classification import cleaning
from train.tasks.classification.classes import ClassSettings, Words

WORDS = Words(item="text", labels="data.label_column")


def clean(splits: Splits, classes: ClassSettings) -> CleanCorpus:
    """Leave out bad and leaking texts; raises DataError for labels that cannot be learned, or when none is left."""
    return cleaning.clean(splits, classes, TEXTS)


def same_text(text: str) -> str:
    """Return what two texts have in common that count as the same."""
    return " ".join(text.split())


def same_words(text: str) -> str:
    """Return what a text has in common with one that would give away its label."""
    return same_text(text).casefold()


def _flaw(text: str) -> str | None:
    return None if same_text(text) else "empty"


TEXTS = cleaning.Inputs(words=WORDS, flaw=_flaw, same=same_text, leak=same_words)
