import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dragoman.bundle.store import open_bundle
from dragoman.engines.ct2_batches import cpu_workers
from dragoman.engines.mixing import NARROWEST
from dragoman.engines.seq2seq import Decoding, Seq2SeqEngine
from dragoman.tasks.translation.task import TranslationTask
from dragoman.text.tokenizer import EOS_ID
from tests.tiny_model import write_tiny_bundle
from tests.unit.dragoman.engines.test_target_vocabulary import restricted


def open_ct2(bundle_dir: Path) -> Seq2SeqEngine:
    return TranslationTask(open_bundle(bundle_dir), engine="ctranslate2", device="cpu").engine


@pytest.fixture(scope="module")
def bundle_dir(tmp_path_factory, toy_sentences):
    return write_tiny_bundle(tmp_path_factory.mktemp("wide"), toy_sentences, width=128)


@pytest.fixture(scope="module")
def engine(bundle_dir):
    opened = open_ct2(bundle_dir)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def sources() -> list[list[int]]:
    """Return three hundred sources of 3 to 190 tokens, most of them short."""
    chooser = random.Random(3)
    lengths = [3 + int(187 * chooser.random() ** 4) for _ in range(300)]
    return [[*(chooser.randrange(3, 60) for _ in range(length - 1)), EOS_ID] for length in lengths]


def decode(engine, batches: list[list[list[int]]], decoding: Decoding) -> list[tuple[object, ...]]:
    """Return the translations with their scores, which differ before a token does."""
    rows = [
        row
        for batch in batches
        for row in engine.decode(batch, decoding, num_hypotheses=decoding.num_beams, return_scores=True)
    ]
    return [tuple((hypothesis.ids, hypothesis.score) for hypothesis in row) for row in rows]


def batches_of(engine, sources: list[list[int]], size: int) -> list[list[int]]:
    """Return the rows of batches of up to ``size`` sources which the engine mixes."""
    classes: dict[object, list[int]] = {}
    for row, source in enumerate(sources):
        classes.setdefault(engine.batch_class(len(source)), []).append(row)
    return [rows[start : start + size] for rows in classes.values() for start in range(0, len(rows), size)]


def count_changed(engine, sources: list[list[int]], decoding: Decoding) -> int:
    """Count the sources whose translation in a batch differs from that alone."""
    alone = decode(engine, [[source] for source in sources], decoding)
    changed = 0
    for size in (7, 50):
        batches = batches_of(engine, sources, size)
        found = decode(engine, [[sources[row] for row in rows] for rows in batches], decoding)
        expected = [alone[row] for rows in batches for row in rows]
        changed += sum(ours != theirs for ours, theirs in zip(found, expected, strict=True))
    return changed


@pytest.mark.parametrize("num_beams", [1, 4])
@pytest.mark.parametrize("mixing", ["auto", "by_width"])
def test_int8_answers_are_to_the_bit_the_same_alone_and_in_batches(bundle_dir, sources, monkeypatch, mixing, num_beams):
    assert len({len(source) for source in sources}) > 30
    monkeypatch.setenv("DRAGOMAN_MIXING", mixing)
    engine = open_ct2(bundle_dir)
    assert count_changed(engine, sources, Decoding(num_beams=num_beams, max_new_tokens=12)) == 0
    engine.close()


def tried_with_avx2(bundle_dir: Path, sources: list[list[int]], cache: Path, mixing: str) -> dict[str, Any]:
    """Describe the engine, and count the changed answers, where oneDNN may use no newer instructions.

    It reads the variable once, so it takes a process of its own. Libraries other than oneDNN do not read it.
    """
    settings = {"ONEDNN_MAX_CPU_ISA": "AVX2", "DRAGOMAN_CACHE": str(cache), "DRAGOMAN_MIXING": mixing}
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.dragoman.engines.test_ct2_engine", str(bundle_dir)],
        input=json.dumps(sources),
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_where_kernels_sum_in_another_order_at_every_width_the_self_check_finds_it(bundle_dir, sources, tmp_path):
    checked = tried_with_avx2(bundle_dir, sources, tmp_path, "auto")
    assert checked["changed"] == 0
    forced = tried_with_avx2(bundle_dir, sources, tmp_path, "free")
    assert forced["engine"]["mixing"] == "free"
    if forced["changed"]:
        assert checked["engine"]["mixing"] == "by_width"
        assert checked["engine"]["self_check"].startswith("failed: ")


def test_an_engine_says_how_it_mixes_and_why(bundle_dir, tmp_path, monkeypatch, caplog):
    monkeypatch.delenv("DRAGOMAN_MIXING", raising=False)
    monkeypatch.setenv("DRAGOMAN_CACHE", str(tmp_path))
    caplog.set_level("INFO", "dragoman.engines.ct2_batches")
    first, second = open_ct2(bundle_dir).describe(), open_ct2(bundle_dir).describe()
    assert first["mixing"] in ("free", "by_width")
    assert second == {**first, "self_check": f"cached: {first['self_check']}"}
    assert [str(first["self_check"]) in record.getMessage() for record in caplog.records] == [True, True]


def test_the_verdict_decides_which_lengths_share_batches(bundle_dir, monkeypatch):
    monkeypatch.setenv("DRAGOMAN_MIXING", "free")
    free = open_ct2(bundle_dir)
    assert len({free.batch_class(length) for length in range(1, 193)}) == 1
    monkeypatch.setenv("DRAGOMAN_MIXING", "by_width")
    by_width = open_ct2(bundle_dir)
    assert [by_width.batch_class(length) for length in (1, 16, 17, 64, 65, 192)] == [16, 16, 32, 64, 128, 192]


class Counting:
    """A translator that notes the rows of the tokens its callbacks get."""

    def __init__(self, translator: Any, steps: list[int]) -> None:
        self.translator, self._steps = translator, steps

    def translate_batch(self, rows: list[list[str]], *, callback: Callable[[Any], bool], **arguments: Any) -> Any:
        def counted(step: Any) -> bool:
            self._steps.append(step.batch_id)
            return callback(step)

        return self.translator.translate_batch(rows, callback=counted, **arguments)


def test_a_translation_is_known_when_it_ends_and_not_when_the_batch_does(tmp_path, toy_sentences, sources):
    # Few translations of random weights end before the limit, and more where there is little else to say than the end.
    plain = open_bundle(write_tiny_bundle(tmp_path, toy_sentences, seed=2))
    engine = open_ct2(restricted(plain, tmp_path / "few", frozenset()).path)
    decoding = Decoding(max_new_tokens=12)
    batch = max(([sources[row] for row in rows] for rows in batches_of(engine, sources, 300)), key=len)
    reported = []
    found = engine.decode(
        batch,
        decoding,
        num_hypotheses=1,
        return_scores=False,
        on_answer=lambda place, row: reported.append((place, row)),
    )
    assert dict(reported) == dict(enumerate(found))
    tokens = [row[0].num_tokens for _, row in reported]
    assert len(set(tokens)) > 1
    assert tokens == sorted(tokens)
    engine.close()


def test_the_row_that_widens_a_batch_takes_no_steps(engine, sources):
    source = next(source for source in sources if len(source) < NARROWEST)
    steps = []
    engine._translators[0] = Counting(engine._translators[0], steps)
    try:
        engine.decode([source], Decoding(max_new_tokens=12), num_hypotheses=1, return_scores=False)
    finally:
        engine._translators[0] = engine._translators[0].translator
    assert steps.count(1) == 1


def test_a_program_that_closes_nothing_ends_well(bundle_dir):
    code = f"import dragoman; print(dragoman.load({str(bundle_dir)!r}, device='cpu')(['a', 'a b']))"
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.count("Result") == 2


def test_long_sources_share_batches(engine):
    assert engine.batch_class(250) == engine.batch_class(256) != engine.batch_class(257)


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (2, 2), (12, 12), (16, 16), (64, 16)])
def test_every_core_has_a_worker_up_to_a_bound(cores, workers):
    assert cpu_workers(cores) == workers


if __name__ == "__main__":
    opened = open_ct2(Path(sys.argv[1]))
    changed = count_changed(opened, json.load(sys.stdin), Decoding(max_new_tokens=12))
    print(json.dumps({"engine": opened.describe(), "changed": changed}))
