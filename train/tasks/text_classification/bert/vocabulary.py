"""WordPiece vocabularies that are learned from texts, and the tokenizer files of Hugging Face's layout around them."""

from collections import Counter
from collections.abc import Sequence

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from dragoman.atomic import to_json

TOKENIZER = "tokenizer.json"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# Signs of a language with an alphabet and its digits are a hundred or two. Of Chinese this takes the most frequent.
LARGEST_ALPHABET = 1000
# What stands once teaches nothing.
LEAST_FREQUENCY = 2


def train_tokenizer(texts: Sequence[str], size: int) -> bytes:
    """Learn a vocabulary of at most ``size`` tokens; returns ``tokenizer.json``, the same bytes for the same texts.

    Text is treated as by bert-base-uncased: lower case, no accents, cut at white space and signs.
    """
    normalizer = normalizers.BertNormalizer(lowercase=True)
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(normalizer.normalize_str(text))
    # By frequency, and by the sign where two are as frequent.
    frequent = sorted((sign for sign in counts if not sign.isspace()), key=lambda sign: (-counts[sign], sign))
    # Each stands in the vocabulary twice, as a word's first sign and inside; half of it is for longer pieces.
    alphabet = sorted(frequent[: min(LARGEST_ALPHABET, (size - len(SPECIAL)) // 4)])
    learning = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - a token of text
    learning.normalizer, learning.pre_tokenizer = normalizer, pre_tokenizers.BertPreTokenizer()
    # The library numbers the signs inside words (##e) in the order of a hash table, another in every process, and by
    # these numbers it chooses between pairs that are as frequent. As special tokens they get their numbers before.
    inside = [f"##{sign}" for sign in alphabet]
    learning.train_from_iterator(
        texts,
        trainers.WordPieceTrainer(
            vocab_size=size,
            min_frequency=LEAST_FREQUENCY,
            special_tokens=[*SPECIAL, *inside],
            initial_alphabet=alphabet,
            limit_alphabet=len(alphabet),
            show_progress=False,
        ),
    )
    # A tokenizer of its own, in which those are no special tokens.
    tokenizer = Tokenizer(models.WordPiece(learning.get_vocab(), unk_token="[UNK]"))  # noqa: S106 - a token of text
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, learning.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer.to_str(pretty=True).encode("utf-8")


def tokenizer_config(tokenizer_json: bytes, positions: int) -> str:
    """Write ``tokenizer_config.json``, by which transformers opens the tokenizer.

    A special token that the vocabulary lacks is not named: transformers would add it, behind the last embedding.
    """
    tokenizer = Tokenizer.from_str(tokenizer_json.decode("utf-8"))
    known = [token for token in SPECIAL if tokenizer.token_to_id(token) is not None]
    names = {f"{token.strip('[]').lower()}_token": token for token in known}
    return to_json({**names, "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": positions})
