from pathlib import Path

import dragoman
from dragoman.predictor import Predictor, answer_all
from model_registry.gate.measurements import CHANGED_AT_ONCE, agreement
from tests.tiny_images import encoded, random_pictures, write_tiny_images

PICTURES = [encoded(pixels) for pixels in random_pictures(CHANGED_AT_ONCE + 5)]


def test_changed_items_are_never_all_in_memory_at_once(tmp_path: Path) -> None:
    class Counting(Predictor):
        def __call__(self, items, prepare=None):
            asked.append(len(items))
            return super().__call__(items, prepare)

    loaded = dragoman.load(write_tiny_images(tmp_path))
    predictor, made, asked = Counting(loaded.bundle, loaded.task), [], list[int]()
    outputs = answer_all(predictor, PICTURES)
    asked.clear()

    def change(image: bytes) -> bytes:
        made.append(len(asked))
        return image

    share = agreement(predictor, PICTURES, outputs, change, sample=1000)
    predictor.close()
    assert (share, len(share.hits)) == (100, len(PICTURES))
    assert asked == [CHANGED_AT_ONCE, 5]
    # The second part is not written before the first one is answered.
    assert made == [0] * CHANGED_AT_ONCE + [1] * 5
