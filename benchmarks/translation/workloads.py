"""The texts that are sent: sentences of Multi30k and of news, five-word sentences, and documents of 400 words.

Documents are made of captions: a model that was trained on Multi30k talks without end about news, and the cost of a
document must follow from its number of words.
"""

from collections.abc import Callable
from pathlib import Path

from benchmarks.serving.workloads import Workloads, documents
from dragoman.errors import DataError
from dragoman.text.lines import read_lines
from dragoman.text.tokenizer import Tokenizer

SHORT_WORDS = 5
DOCUMENT_WORDS = 400
# A caption has about twelve words.
WORDS_PER_SENTENCE = 12


def load_workloads(data: Path) -> Workloads:
    """Read Multi30k and newstest below ``data``; raises DataError."""
    multi30k, newstest = Path(data) / "multi30k", Path(data) / "newstest"
    if not multi30k.is_dir() or not newstest.is_dir():
        raise DataError(
            f"{data} has no multi30k and newstest; give the folder that has them with DRAGOMAN_DATA or --data"
        )
    other = _lines(multi30k / "test_2017_flickr.en.gz") + _lines(multi30k / "val.en.gz")
    # The test sets have only fifty such sentences, and equal ones in flight may be computed once.
    captions = _lines(multi30k / "train.en.gz") + other
    return Workloads(
        items=tuple(_lines(multi30k / "test_2016_flickr.en.gz")),
        references=tuple(_lines(multi30k / "test_2016_flickr.de.gz")),
        other=tuple(_lines(newstest / "newstest2014.en.gz")),
        short=tuple(dict.fromkeys(line for line in captions if len(line.split()) == SHORT_WORDS)),
        long=documents(other, words=DOCUMENT_WORDS),
        cost=WORDS_PER_SENTENCE,
        long_cost=DOCUMENT_WORDS,
    )


def token_counter(bundle_dir: Path) -> Callable[[str], int]:
    """Return a function that counts the tokens of a translation."""
    tokenizer = Tokenizer(bundle_dir / "model" / "spiece.model")
    return lambda text: len(tokenizer.encode(text))


def _lines(path: Path) -> list[str]:
    return [line for line in read_lines(str(path)) if line.strip()]
