"""Requests to a TorchServe on this machine: its models, their workers, its figures; with its keys, where it has any."""

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

KEY_FILE = "key_file.json"
# A request that the model answers, which the starter leaves for the probe.
EXAMPLE_FILE = "example.json"
# For an answer of the management API, which computes nothing.
DESCRIBED_WITHIN_S = 2.0


def models(management_url: str, home: Path) -> list[str]:
    """Return the names of the models; raises OSError when nothing answers."""
    body = request(f"{management_url}/models", home, "management", within_s=DESCRIBED_WITHIN_S)
    return [model["modelName"] for model in body["models"]]


def describe(management_url: str, model: str, home: Path) -> dict[str, Any]:
    """Return TorchServe's description of a model, with its workers and queue; raises OSError when nothing answers."""
    (description,) = request(f"{management_url}/models/{model}", home, "management", within_s=DESCRIBED_WITHIN_S)
    return dict(description)


def has_ready_worker(description: dict[str, Any]) -> bool:
    """Tell whether a worker of a described model has loaded it, which ends with a first answer, and is alive."""
    return any(worker["status"] == "READY" for worker in description["workers"])


def request(url: str, home: Path, api: str, *, within_s: float, payload: object = None) -> Any:
    """Return the JSON answer to a GET, or to a POST of ``payload``; raises OSError for none, and for a status but 200.

    ``api`` is management or inference, which have a key each in ``home``, where token authorization is on.
    """
    headers = {"Content-Type": "application/json"}
    keys = home / KEY_FILE
    if keys.exists():
        headers["Authorization"] = f"Bearer {json.loads(keys.read_text(encoding='utf-8'))[api]['key']}"
    body = None if payload is None else json.dumps(payload).encode()
    return json.loads(_answer(url, body, headers, within_s))


def figure(metrics_url: str, name: str) -> float | None:
    """Return a figure of the metrics page, None where it is not shown; raises OSError when nothing answers."""
    page = _answer(metrics_url, None, {}, DESCRIBED_WITHIN_S).decode()
    found = re.search(rf"^{re.escape(name)}(?:{{.*}})? (\S+)", page, re.MULTILINE)
    return float(found[1]) if found else None


def _answer(url: str, body: bytes | None, headers: dict[str, str], within_s: float) -> bytes:
    # No proxy of the environment stands between two processes of one machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    asked = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310 - the callers' addresses are http://
    with opener.open(asked, timeout=within_s) as response:
        return bytes(response.read())
