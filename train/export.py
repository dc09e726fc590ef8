"""From trained weights to a bundle: Hugging Face layout, int8 conversion, and scores by the engine that ships."""

import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dragoman.bundle import Bundle, open_unsigned, write_bundle
from dragoman.engines.t5.tokenizer import EOS_ID, UNK_ID, Tokenizer
from dragoman.manifest import Languages, Preprocessing, Provenance, Score
from dragoman.predictor import load
from dragoman.segments import split_label
from train.config import to_yaml
from train.corpus import Splits
from train.decode import decode
from train.model import write_model
from train.scoring import scores
from train.settings import Config

ENGINE = "ct2-int8"
VOCABULARY_MAP = "vmap.txt"
SAMPLES = 20


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A test sentence with what the model made of it."""

    source: str
    reference: str
    hypothesis: str


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a bundle is made from."""

    model: Any
    vocabulary: bytes
    target_pieces: frozenset[int] | None
    """The ids that the int8 engine may answer with; None allows all."""
    config: Config
    provenance: Provenance


@dataclass(frozen=True, kw_only=True)
class Exported:
    """The bundle of a run, its translations of every test set, and a sample of the first."""

    bundle: Bundle
    translations: Mapping[str, Sequence[Sample]]
    samples: Sequence[Mapping[str, str]]


def export(destination: Path, contents: Contents, *, splits: Splits) -> Exported:
    """Write the bundle of a run with the scores of its test sets and of its validation set."""
    with tempfile.TemporaryDirectory(prefix="dragoman-export-") as temporary:
        folder = Path(temporary)
        _convert_model(folder, contents)
        # What ships is what is scored: first a bundle without scores, which is loaded as any server loads one.
        unscored = _bundle(folder / "bundle", folder, contents, [])
        judged = _score(unscored.path, splits)
        bundle = _bundle(destination, folder, contents, judged.scores)
    first = next(iter(judged.translations.values()))
    return Exported(
        bundle=bundle, translations=judged.translations, samples=[asdict(sample) for sample in _samples(first)]
    )


def export_unscored(destination: Path, contents: Contents) -> Bundle:
    """Write a bundle without scores: enough to measure its size and its speed."""
    with tempfile.TemporaryDirectory(prefix="dragoman-export-") as temporary:
        _convert_model(Path(temporary), contents)
        return _bundle(destination, Path(temporary), contents, [])


def _convert_model(folder: Path, contents: Contents) -> None:
    (folder / "model").mkdir()
    write_model(contents.model, contents.vocabulary, folder / "model")
    convert(folder / "model", folder / ENGINE, target_pieces=contents.target_pieces)


def convert(model_dir: Path, destination: Path, *, target_pieces: frozenset[int] | None) -> None:
    """Convert a model in Hugging Face layout to CTranslate2 with int8 weights.

    With ``target_pieces`` (ids) the engine computes the logits of these, of single characters (so that anything can be
    spelt) and of the end alone: a vocabulary map whose one entry goes with every source. Candidates that depended on
    the source, as in Marian's shortlists, would make a translation depend on what else is in its batch.
    """
    from ctranslate2.converters import TransformersConverter

    TransformersConverter(str(model_dir)).convert(str(destination), quantization="int8")
    if target_pieces is not None:
        tokenizer = Tokenizer(model_dir / "spiece.model")
        pieces = tokenizer.pieces(range(tokenizer.size))
        kept = target_pieces | {EOS_ID, UNK_ID} | {row for row, piece in enumerate(pieces) if len(piece.strip("▁")) < 2}
        line = " ".join(pieces[row] for row in sorted(kept) if row < len(pieces))
        (destination / VOCABULARY_MAP).write_text(f"\t{line}\n", encoding="utf-8")


def _bundle(destination: Path, folder: Path, contents: Contents, found: Sequence[Score]) -> Bundle:
    config = contents.config
    return write_bundle(
        destination,
        name=config.name,
        task=config.task.name,
        languages=Languages(source=config.task.source, target=config.task.target),
        preprocessing=Preprocessing(prefix=config.model.prefix),
        decoding=config.decoding,
        limits=config.limits,
        provenance=contents.provenance,
        scores=found,
        model_dir=folder / "model",
        engines={ENGINE: folder / ENGINE},
        config_yaml=to_yaml(config, portable=True),
    )


@dataclass(frozen=True, kw_only=True)
class _Judged:
    scores: list[Score]
    translations: dict[str, list[Sample]]


def _score(bundle: Path, splits: Splits) -> _Judged:
    found: list[Score] = []
    translations: dict[str, list[Sample]] = {}
    # Nobody can have signed what was written a moment ago.
    predictor = load(open_unsigned(bundle), device="cpu")
    try:
        for name, pairs in [*splits.tests.items(), ("validation", splits.validation)]:
            hypotheses = decode(predictor, [source for source, _ in pairs]).hypotheses
            found += scores(
                hypotheses,
                [reference for _, reference in pairs],
                test_set=split_label(splits.name, name, pairs),
                engine=str(predictor.describe()["engine"]),
                lower_cased=splits.lower_cased,
            )
            translations[name] = [
                Sample(source=source, reference=reference, hypothesis=hypothesis)
                for (source, reference), hypothesis in zip(pairs, hypotheses, strict=True)
            ]
    finally:
        predictor.close()
    return _Judged(scores=found, translations=translations)


def _samples(translations: Sequence[Sample]) -> list[Sample]:
    chooser = random.Random(0)  # noqa: S311 - a fixed choice, no secret
    rows = sorted(chooser.sample(range(len(translations)), min(SAMPLES, len(translations))))
    return [translations[row] for row in rows]
