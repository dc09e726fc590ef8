"""Files of labelled texts of the user's own: CSV, TSV, JSON Lines or Parquet, by their column names."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Literal

from dragoman.errors import ConfigError, DataError
from dragoman.strict import Setting
from train.data.corpus import Splits, with_held_out
from train.data.folder import find_data
from train.tasks.text_classification.examples import Columns, LabelledText, table_file, table_rows

# What split columns call the splits, in lower case.
SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """The files and their columns; without files or rows for validation or test, training texts are held out.

    Hold-outs are stratified: every class has its share of each.
    """

    kind: Literal["labelled"]
    name: Annotated[str, Setting("what the corpus is called in scores")]
    path: Annotated[str, Setting("the training file, plain or .gz, found in DRAGOMAN_DATA, in data/ or from here")]
    format: Annotated[
        Literal["auto", "csv", "tsv", "jsonl", "parquet"],
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
        if self.split_column is not None and (self.validation_path, self.test_path) != (None, None):
            raise ConfigError(
                "data.split_column says where each row of data.path belongs, so data.validation_path and "
                "data.test_path must be null; leave out one or the other"
            )
        places: dict[LabelledText, str] = {}
        splits = self._read("path", self.path, places, split_column=self.split_column)
        for setting, split in (("validation_path", "validation"), ("test_path", "test")):
            if (path := getattr(self, setting)) is not None:
                splits[split] = self._read(setting, path, places)["train"]
        if "train" not in splits:
            raise DataError(f"{self.path} has no row for training: column {self.split_column!r} never says train")
        whole = with_held_out(
            self.name,
            splits["train"],
            splits.get("validation"),
            splits.get("test"),
            validation_size=self.validation_size,
            test_size=self.test_size,
            seed=self.seed,
            stratified=True,
        )
        return dataclasses.replace(whole, places=places)

    def _read(
        self, setting: str, path: str, places: dict[LabelledText, str], split_column: str | None = None
    ) -> dict[str, list[LabelledText]]:
        columns = Columns(
            format=self.format,
            delimiter=self.delimiter,
            text_column=self.text_column,
            label_column=self.label_column,
        )
        file = table_file(find_data(path, setting=f"data.{setting}"), columns)
        splits: dict[str, list[LabelledText]] = {}
        for found in table_rows(file, columns):
            split = "train"
            if split_column is not None:
                value = file.cell(found.row, split_column, settings="data.split_column")
                split = SPLITS.get(str(value).strip().lower(), "")
                if not split:
                    raise DataError(
                        f"{found.place}, column {split_column!r} must say one of {', '.join(SPLITS)}, got {value!r}"
                    )
            splits.setdefault(split, []).append(found.example)
            places.setdefault(found.example, found.place)
        return splits
