"""A run of the handler out of an unpacked archive: ``python -I -S handler_alone.py UNPACKED SITE_PACKAGES [BLOCKED…]``.

A batch of rows as TorchServe makes them comes in as JSON, the answers go out as JSON. Neither the repository nor an
editable installation of it can be found from here, and what belongs to training and to other servers is blocked.
"""

import importlib
import importlib.abc
import json
import sys
from pathlib import Path
from typing import Any

UNPACKED, SITE_PACKAGES, *ALSO_BLOCKED = sys.argv[1:]
BLOCKED = {
    *("mlflow", "optuna", "datasets", "sacrebleu", "hydra", "bentoml", "torch", "transformers", "ts"),
    *("timm", "torchvision", "sklearn", "onnxscript"),
    *("train", "model_registry", "deploy", "handlers", "service"),
    *ALSO_BLOCKED,
}


class Blocker(importlib.abc.MetaPathFinder):
    """An importer that refuses the blocked packages."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        """Find nothing, and say so for a blocked package."""
        if fullname.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {fullname!r} (blocked by a test)", name=fullname)


class Context:
    """The part of TorchServe's context that the handler uses; the real one needs torch."""

    def __init__(self, headers: list[dict[str, Any]]) -> None:
        self.system_properties = {"model_dir": UNPACKED, "gpu_id": None}
        self.headers = headers
        self.statuses: dict[int, tuple[int, str]] = {}
        self.response_headers: list[dict[str, str]] = [{} for _ in headers]
        # As of a TorchServe that knows nothing of our figures.
        self.metrics = None

    def get_all_request_header(self, index: int) -> dict[str, Any]:
        """Return a request's headers, as ts/context.py does; the methods below are its own too."""
        return self.headers[index]

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        self.statuses[idx] = (code, phrase)

    def set_response_content_type(self, idx: int, value: str) -> None:
        self.set_response_header(idx, "content-type", value)

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        self.response_headers[idx][key] = value


sys.meta_path.insert(0, Blocker())
sys.path[:0] = [UNPACKED]
sys.path.append(SITE_PACKAGES)

# By name, as TorchServe does it: type checkers have no way to this module.
seq2seq_handler = importlib.import_module("seq2seq_handler")
core = importlib.import_module("dragoman")

batch = json.load(sys.stdin)
context = Context([entry["headers"] for entry in batch])
handler = seq2seq_handler.Seq2SeqHandler()
handler.initialize(context)
rows = [{name: bytearray(value, "latin-1") for name, value in entry["row"].items()} for entry in batch]
answers = handler.handle(rows, context)
json.dump(
    {
        "core": str(Path(str(core.__file__)).parent.parent),
        "replies": [
            {"status": context.statuses[index], "headers": context.response_headers[index], "body": json.loads(answer)}
            for index, answer in enumerate(answers)
        ],
    },
    sys.stdout,
)
