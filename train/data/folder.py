"""The place of corpora: the folder that DRAGOMAN_DATA names, or ``data/`` in the checkout."""

import os
from pathlib import Path

from dragoman.errors import DataError

VARIABLE = "DRAGOMAN_DATA"
IN_CHECKOUT = Path(__file__).resolve().parents[2] / "data"


def find_data(path: str, *, setting: str) -> Path:
    """Find a file or folder of data by its path in the data folders, else from here; raises DataError naming all.

    A file may be there with ``.gz`` after its name, which whoever reads it looks for.
    """
    named = os.environ.get(VARIABLE)
    folders = [*([Path(named)] if named else []), IN_CHECKOUT, Path()]
    for folder in folders:
        if (folder / path).exists() or (folder / f"{path}.gz").is_file():
            return folder / path
    if Path(path).is_absolute():
        raise DataError(f"{setting}: {path} does not exist; give the path of the data")
    variable = f"${VARIABLE} ({named})" if named else f"${VARIABLE} (which is not set)"
    raise DataError(
        f"{setting}: there is no {path} in {variable}, nor in {IN_CHECKOUT}, nor in the working directory; put the "
        f"data into one of them, or set {VARIABLE} or {setting}"
    )
