"""SentencePiece vocabularies with T5's ids, and the same vocabulary as Hugging Face's tokenizer files."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from dragoman.atomic import to_json
from dragoman.errors import DataError
from dragoman.text.tokenizer import EOS_ID, PAD_ID, UNK_ID, Tokenizer
from train.data.folder import find_data

SPIECE = "spiece.model"
# Few word forms need few pieces (Gowda and May 2020), but a small model also learns faster from short sequences, which
# took more than a thousand pieces on the phrasebook. So the size follows the square root of the number of forms: 2,700
# for the phrasebook, 8,000 for Multi30k, 32,000 for millions of sentences.
PIECES_PER_ROOT_OF_FORMS, SMALLEST, LARGEST = 40, 500, 32_000
# SentencePiece holds all it reads in memory; more sentences change the pieces of a language little.
SENTENCES_READ = 1_000_000


def train_vocabulary(texts: Sequence[str], size: int | Literal["auto"]) -> bytes:
    """Train a unigram model over both languages; the same texts give the same bytes. ``size`` is an upper bound."""
    import sentencepiece

    texts = texts[:SENTENCES_READ]
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            model_type="unigram",
            vocab_size=suggested_size(texts) if size == "auto" else size,
            hard_vocab_limit=False,
            character_coverage=1.0,
            pad_id=PAD_ID,
            eos_id=EOS_ID,
            unk_id=UNK_ID,
            bos_id=-1,
            # More threads would split the expectation step differently on machines with more cores.
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise DataError(
            f"cannot train a vocabulary of {size} pieces on {len(texts)} sentences: {error}; set model.vocab_size"
        ) from error
    return model.getvalue()


def suggested_size(texts: Iterable[str]) -> int:
    """Choose the number of pieces by the number of distinct word forms: a multiple of eight, within bounds."""
    forms = {form for text in texts for form in text.split()}
    return max(SMALLEST, min(LARGEST, int(PIECES_PER_ROOT_OF_FORMS * len(forms) ** 0.5) // 8 * 8))


def find_vocabulary(path: str) -> Path:
    """Find the ``spiece.model`` that a path means, itself or inside a directory; raises DataError."""
    found = find_data(path, setting="model.tokenizer_path")
    file = found / SPIECE if found.is_dir() else found
    if not file.is_file():
        raise DataError(f"model.tokenizer_path: {file} does not exist; give a {SPIECE} or a directory that holds one")
    return file


def write_tokenizer_files(model_dir: Path, vocabulary: bytes) -> Tokenizer:
    """Write a vocabulary in Hugging Face layout, where AutoTokenizer gives the same ids as SentencePiece itself."""
    (model_dir / SPIECE).write_bytes(vocabulary)
    tokenizer = Tokenizer(model_dir / SPIECE)
    _fast_tokenizer(vocabulary).save(str(model_dir / "tokenizer.json"))
    special = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    (model_dir / "special_tokens_map.json").write_text(to_json(special), encoding="utf-8")
    config = {**special, "tokenizer_class": "T5Tokenizer", "extra_ids": 0, "additional_special_tokens": []}
    (model_dir / "tokenizer_config.json").write_text(to_json(config), encoding="utf-8")
    return tokenizer


def _fast_tokenizer(vocabulary: bytes) -> Any:
    """Make the vocabulary of the ``tokenizers`` library: the same normalisation table, pieces and scores."""
    from sentencepiece import sentencepiece_model_pb2
    from tokenizers import Tokenizer as FastTokenizer
    from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(vocabulary)
    if proto.trainer_spec.model_type != proto.trainer_spec.UNIGRAM:
        raise DataError("the SentencePiece model must be a unigram model, as T5's is")
    tokenizer = FastTokenizer(
        models.Unigram([(piece.piece, piece.score) for piece in proto.pieces], unk_id=UNK_ID, byte_fallback=False)
    )
    if table := proto.normalizer_spec.precompiled_charsmap:
        tokenizer.normalizer = normalizers.Precompiled(table)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=["$A", "</s>"], pair=["$A", "</s>", "$B", "</s>"], special_tokens=[("</s>", EOS_ID)]
    )
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    return tokenizer
