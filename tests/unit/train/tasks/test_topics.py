import math
from collections import Counter

from tests.unit.train.tasks.test_labelled_texts import read
from train.tasks.classification.classes import ClassSettings
from train.tasks.text_classification.cleaning import clean
from train.tasks.text_classification.sources.topics import ASIDE, TOPICS, _dealt

SIZE = 1000


def test_the_articles_repeat_with_their_seed_and_fill_the_splits() -> None:
    splits = read("topics", size=SIZE)
    assert [len(examples) for _, examples in splits.items()] == [700, 100, 200]
    assert splits == read("topics", size=SIZE)
    assert splits != read("topics", size=SIZE, seed=1)


def test_no_pattern_of_the_training_articles_is_in_a_held_out_one() -> None:
    known, held_out = _dealt(held_out=False), _dealt(held_out=True)
    assert known.keys() == held_out.keys() == {*TOPICS, ASIDE}
    for topic in known:
        names = [{pattern.name for pattern in patterns[topic]} for patterns in (known, held_out)]
        assert not names[0] & names[1]
        assert min(map(len, names)) >= 4


def test_the_topics_are_unbalanced_and_each_is_in_every_split() -> None:
    splits = read("topics", size=SIZE)
    counts = [Counter(label for _, label in examples) for _, examples in splits.items()]
    assert all(set(each) == set(TOPICS) for each in counts)
    assert counts[0]["travel"] > 3 * counts[0]["calendar"]
    assert counts[0]["travel"] < 0.3 * counts[0].total()


def test_nothing_of_the_articles_has_to_be_left_out() -> None:
    cleaned = clean(read("topics", size=SIZE), ClassSettings(names=None, weights="none", unknown="refuse"))
    assert [report.kept for report in cleaned.reports.values()] == [700, 100, 200]


def test_counting_words_finds_most_topics_and_not_all() -> None:
    splits = read("topics", size=4 * SIZE)
    # Naive Bayes: the log-probability of every word in every topic, smoothed by one.
    words: dict[str, Counter[str]] = {topic: Counter() for topic in TOPICS}
    for text, topic in splits.train:
        words[topic].update(text.lower().split())
    vocabulary = len({word for counted in words.values() for word in counted})

    def likelihood(text: str, topic: str) -> float:
        counted, total = words[topic], words[topic].total() + vocabulary
        return sum(math.log((counted[word] + 1) / total) for word in text.lower().split())

    test = splits.tests["test"]
    answers = [max(TOPICS, key=lambda topic, text=text: likelihood(text, topic)) for text, _ in test]  # type: ignore[misc]
    right = sum(answer == topic for answer, (_, topic) in zip(answers, test, strict=True)) / len(test)
    assert 0.8 < right < 0.97
