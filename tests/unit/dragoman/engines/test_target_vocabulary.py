"""Translations of the int8 engine from a part of the vocabulary."""

from pathlib import Path

import pytest

from dragoman.bundle.store import Bundle, open_bundle, write_bundle
from dragoman.engines.ct2_batches import CONVERSION
from dragoman.engines.seq2seq import Decoding
from dragoman.tasks.translation.task import TranslationTask
from dragoman.text.tokenizer import EOS_ID, PAD_ID, UNK_ID, Tokenizer
from train.tasks.translation.conversion import convert

DECODING = Decoding(max_new_tokens=16)


@pytest.fixture(scope="module")
def plain(tiny_bundle) -> Bundle:
    return open_bundle(tiny_bundle)


def restricted(plain: Bundle, folder: Path, pieces: frozenset[int]) -> Bundle:
    """Return the same model, whose int8 engine may answer with these pieces."""
    convert(plain.model_dir, folder / CONVERSION, target_pieces=pieces)
    return rebundled(plain, folder)


def rebundled(plain: Bundle, folder: Path) -> Bundle:
    """Return the same model with the conversion that is in ``folder``."""
    manifest = plain.manifest
    return write_bundle(
        folder / "bundle",
        name=manifest.name,
        task=manifest.task,
        options=manifest.options,
        limits=manifest.limits,
        provenance=manifest.provenance,
        scores=[],
        model_dir=plain.model_dir,
        engines={CONVERSION: folder / CONVERSION},
        config_yaml="name: tiny-en-de\n",
    )


def answers(bundle: Bundle, sentences: list[str]) -> list[tuple[int, ...]]:
    tokenizer = Tokenizer(bundle.model_dir / "spiece.model")
    engine = TranslationTask(bundle, engine="ctranslate2", device="cpu").engine
    sources = [[*tokenizer.encode(sentence), EOS_ID] for sentence in sentences]
    found = engine.decode(sources, DECODING, num_hypotheses=1, return_scores=False)
    engine.close()
    return [row[0].ids for row in found]


def test_pieces_that_were_never_needed_are_left_out_without_a_difference(plain, toy_sentences, tmp_path):
    sentences = toy_sentences[:40]
    expected = answers(plain, sentences)
    needed = frozenset(token for ids in expected for token in ids)
    bundle = restricted(plain, tmp_path, needed)
    assert answers(bundle, sentences) == expected


def test_a_piece_outside_the_corpus_is_never_part_of_a_translation(plain, toy_sentences, tmp_path):
    sentences = toy_sentences[:40]
    used = {token for ids in answers(plain, sentences) for token in ids}
    tokenizer = Tokenizer(plain.model_dir / "spiece.model")
    banned = next(token for token in used if token > UNK_ID and len(tokenizer.pieces([token])[0].strip("▁")) > 1)
    bundle = restricted(plain, tmp_path, frozenset(used - {banned}))
    assert banned not in {token for ids in answers(bundle, sentences) for token in ids}


def test_single_characters_are_always_there_to_spell_with(plain, toy_sentences, tmp_path):
    tokenizer = Tokenizer(plain.model_dir / "spiece.model")
    found = {token for ids in answers(restricted(plain, tmp_path, frozenset()), toy_sentences[:40]) for token in ids}
    assert found
    # Padding and the unknown piece, which random weights like to write, are never left out.
    assert all(len(piece.strip("▁")) < 2 for piece in tokenizer.pieces(sorted(found - {PAD_ID, UNK_ID})))
