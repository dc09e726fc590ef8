from dragoman.tasks.image_classification.options import Preprocessing
from scoring.base import score_of
from scoring.table import metric
from tests.unit.train.tasks.test_image_folder import read
from train.tasks.image_classification.baselines import fit_baselines
from train.tasks.image_classification.decoded import DecodedImages

SPLITS = read("digits")


def decoded() -> DecodedImages:
    return DecodedImages(Preprocessing(height=16, width=16), max_pixels=10_000)


def test_the_majority_class_and_lines_in_grey_pictures_are_scored_by_the_metrics_of_the_model() -> None:
    majority, lines = fit_baselines(SPLITS.train, decoded())
    assert (majority.name, lines.name) == ("majority class", "8x8 grey + logistic regression")
    test = SPLITS.tests["test"]
    images, labels = [image for image, _ in test], [label for _, label in test]
    assert score_of(metric("accuracy"), majority.answer(images), labels) == 10.0
    assert score_of(metric("accuracy"), lines.answer(images), labels) > 93
    assert lines.metrics == ("macro-F1", "accuracy")


def test_the_same_images_give_the_same_answers_alone_and_among_others() -> None:
    images = [image for image, _ in SPLITS.validation]
    first, again = (fit_baselines(SPLITS.train[::3], decoded())[1] for _ in range(2))
    assert first.answer(images) == again.answer(images)
    assert [first.answer([image])[0] for image in images[:20]] == first.answer(images)[:20]


def test_a_file_that_is_no_image_is_refused_and_one_class_has_the_majority_alone() -> None:
    _, lines = fit_baselines(SPLITS.train[::9], decoded())
    assert lines.answer([b"text"]) == [{}]
    assert lines.answer([b"text", SPLITS.train[0][0]])[0] == {}
    (majority,) = fit_baselines(SPLITS.train[:5], decoded())
    assert majority.answer([b"text"]) == [{SPLITS.train[0][1]: 1.0}]
