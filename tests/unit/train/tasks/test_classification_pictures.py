import random

import numpy as np
import pytest

from train.tasks.base import Answered
from train.tasks.classification.pictures import (
    confusion_matrix,
    draw,
    reliability_diagram,
    short_names,
    worst_mistakes,
)

PNG = b"\x89PNG"


def answered(labels: list[str], count: int) -> tuple[list[dict[str, float]], list[str]]:
    chooser = random.Random(1)
    references = [chooser.choice(labels) for _ in range(count)]
    outputs = []
    for reference in references:
        first = reference if chooser.random() < 0.8 else chooser.choice(labels)
        rest = [label for label in labels if label != first]
        outputs.append({first: 0.9, **{label: 0.1 / len(rest) for label in rest}})
    return outputs, references


@pytest.mark.parametrize("classes", [2, 30, 60])
def test_a_confusion_matrix_is_drawn_for_any_number_of_classes(classes: int) -> None:
    labels = [f"a label of many words, number {number}" for number in range(classes)]
    outputs, references = answered(labels, 400)
    assert confusion_matrix(outputs, references, labels, title="test", items="texts").startswith(PNG)


def test_labels_are_drawn_as_they_are_and_not_read_as_formulas() -> None:
    labels = [r"$\foo$", "US$", "CA$"]
    outputs, references = answered(labels, 50)
    assert confusion_matrix(outputs, references, labels, title=r"$\foo$", items="texts").startswith(PNG)
    assert reliability_diagram(outputs, references, 1.0, title=r"$\foo$", items="texts").startswith(PNG)


def test_labels_that_begin_alike_are_told_apart_by_what_follows() -> None:
    topics = [f"news about the subject of {topic} and what goes with it" for topic in ("grain", "interest")]
    assert short_names(topics) == ["…grain and what goes wi…", "…interest and what goes…"]
    assert short_names(["grain", f"ships {'and harbours ' * 3}"]) == ["grain", "ships and harbours and …"]


def test_refused_texts_have_a_column_of_their_own() -> None:
    outputs, references = answered(["a", "b"], 50)
    whole = confusion_matrix(outputs, references, ["a", "b"], title="test", items="texts")
    refused = confusion_matrix([{}, *outputs[1:]], references, ["a", "b"], title="test", items="texts")
    assert refused.startswith(PNG)
    assert whole != refused


def test_a_reliability_diagram_is_drawn_of_what_was_answered() -> None:
    outputs, references = answered(["a", "b", "c"], 100)
    assert reliability_diagram([{}, *outputs[1:]], references, 1.7, title="test", items="texts").startswith(PNG)
    assert reliability_diagram([{}], ["a"], 1.7, title="test", items="texts").startswith(PNG)


def test_the_same_outputs_give_the_same_bytes() -> None:
    outputs, references = answered(["a", "b", "c"], 100)
    first, again = (
        confusion_matrix(outputs, references, ["a", "b", "c"], title="test", items="texts") for _ in range(2)
    )
    assert first == again


def squares(count: int) -> list[bytes]:
    chooser = np.random.default_rng(3)
    return [chooser.integers(0, 256, (4, 4, 3), dtype=np.uint8).tobytes() for _ in range(count)]


def shown_square(image: bytes) -> "np.ndarray":
    return np.frombuffer(image, dtype=np.uint8).reshape(4, 4, 3)


def test_the_surest_mistakes_are_drawn_and_no_others() -> None:
    labels = [r"$\foo$", "[b]", "a long label of more words than there is room for"]
    outputs, references = answered(labels, 200)
    outputs[7] = {}
    seen = []

    def show(image: bytes) -> "np.ndarray":
        seen.append(image)
        return shown_square(image)

    images = squares(200)
    for row, output in enumerate(outputs):
        if output:
            first, *rest = output
            outputs[row] = {first: 0.5 + row / 1000, **dict.fromkeys(rest, 0.1)}
    one = Answered(images, outputs, references)
    first = worst_mistakes(one, labels, show, title=r"$\foo$", items="images")
    wrong = [row for row in range(200) if outputs[row] and next(iter(outputs[row])) != references[row]]
    assert seen == [images[row] for row in reversed(wrong)][:36]
    assert first.startswith(PNG)
    assert worst_mistakes(one, labels, shown_square, title=r"$\foo$", items="images") == first


def test_a_set_without_a_mistake_says_so() -> None:
    one = Answered(squares(3), [{"a": 0.9, "b": 0.1}] * 3, ["a"] * 3)
    assert worst_mistakes(one, ["a", "b"], shown_square, title="test", items="images").startswith(PNG)


def test_mistakes_are_drawn_where_inputs_can_be_shown() -> None:
    one = Answered(squares(3), [{"a": 0.9, "b": 0.1}] * 3, ["a", "b", "a"])
    assert set(draw({"test": one}, ["a", "b"], 1.0, items="texts")) == {"confusion-test.png", "reliability-test.png"}
    assert "mistakes-test.png" in draw({"test": one}, ["a", "b"], 1.0, items="images", show=shown_square)
