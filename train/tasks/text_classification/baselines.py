"""Simple methods beside which every score of a classifier stands: the majority class, and words with a linear SVM."""

from collections.abc import Sequence

from train.data.corpus import Example
from train.tasks.base import Baseline
from train.tasks.classification.baselines import METRICS, majority_class


def fit_baselines(training: Sequence[Example]) -> list[Baseline]:
    """Fit both to labelled texts, the SVM where there are words; the same texts give the same answers."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    texts, labels = [text for text, _ in training], [label for _, label in training]
    found = [majority_class(training)]
    # Words and pairs of words; the SVM has its default settings.
    words = TfidfVectorizer(ngram_range=(1, 2))
    # A word has two letters or digits at least. Fitting fails where no text has one, only signs for instance.
    if any(map(words.build_analyzer(), texts)):
        svm = make_pipeline(words, LinearSVC(random_state=0)).fit(texts, labels)
        found.append(
            Baseline(
                name="TF-IDF + linear SVM",
                metrics=METRICS,
                answer=lambda items: [{str(x): 1.0} for x in svm.predict(items)],
            )
        )
    return found
