"""Files of labelled texts of the user's own: CSV, TSV, JSON Lines or Parquet, by their column names."""

from dataclasses import dataclass
from typing import Annotated, Literal

from dragoman.strict import Setting
from train.data.corpus import Splits
from train.tasks.classification.tables import AnyFormat, read_tables
from train.tasks.text_classification.examples import labelled_rows


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """The files and their columns; without files or rows for validation or test, training texts are held out.

    Hold-outs are stratified: every class has its share of each.
    """

    kind: Literal["labelled"]
    name: Annotated[str, Setting("what the corpus is called in scores")]
    path: Annotated[str, Setting("the training file, plain or .gz, found in DRAGOMAN_DATA, in data/ or from here")]
    format: Annotated[
        AnyFormat,
        Setting("format of the files; auto goes by the ending of each name; tsv knows no quotation marks, csv does"),
    ]
    delimiter: Annotated[str | None, Setting("delimiter of CSV, one sign or tab; null finds it by the header")]
    text_column: Annotated[
        str | tuple[str, ...],
        Setting("column of the text, or several as [title,text], joined by a blank line; a.b looks for b inside a"),
    ]
    label_column: Annotated[str, Setting("column of the label, text or numbers")]
    split_column: Annotated[
        str | None, Setting("column that says train, validation or test; null, where all rows are for training")
    ]
    validation_path: Annotated[str | None, Setting("the validation file; null holds out")]
    test_path: Annotated[str | None, Setting("the test file; null holds out")]
    validation_size: Annotated[int, Setting("texts held out for validation, at most a tenth", minimum=1)]
    test_size: Annotated[int, Setting("texts held out for the test, at most a tenth", minimum=1)]
    seed: Annotated[int, Setting("seed of the hold-out", minimum=0)]

    def read(self) -> Splits:
        """Read the files; raises DataError, and ConfigError for settings that contradict each other."""
        settings = "data.text_column and data.label_column"
        return read_tables(self, labelled_rows(self.text_column, self.label_column, settings=settings))
