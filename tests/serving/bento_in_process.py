"""State of the service that only its own process sees: ``python -m tests.serving.bento_in_process``, JSON out.

In a process of its own, because importing BentoML fixes its home directory and warns more than the tests allow.
"""

import asyncio
import json
import threading
from typing import Any

import bentoml
import pytest
from _bentoml_sdk.service.config import validate
from starlette.testclient import TestClient

import service
from dragoman.errors import InferenceError
from dragoman.predictor import Predictor

# Type checkers see the class alone, not what the decorators make of it.
Dragoman: Any = service.Dragoman
warm_up = Predictor.warm_up
patch = pytest.MonkeyPatch()


def _seen(client: TestClient, path: str) -> list[Any]:
    response = client.get(path)
    return [response.status_code, response.text.strip(), response.headers.get("retry-after")]


def _shown_ready() -> float:
    """Read the gauge after the warm-up, before anybody has asked for readiness."""
    served: Any = bentoml.get_current_service()
    served._warm_up.result(20)
    (family,) = served._metrics._ready.collect()
    return float(family.samples[0].value)


def _served() -> dict[str, Any]:
    may_warm_up = threading.Event()

    def held_warm_up(predictor: Predictor) -> None:
        may_warm_up.wait(30)
        warm_up(predictor)

    patch.setattr(Predictor, "warm_up", held_warm_up)
    # One application a process: BentoML registers its metrics once more for each.
    with TestClient(Dragoman.to_asgi()) as client:
        seen: dict[str, Any] = {"ready_before": _seen(client, "/readyz"), "alive_before": _seen(client, "/livez")}
        may_warm_up.set()
        seen["shown_ready"] = _shown_ready()
        while (after := _seen(client, "/readyz"))[0] != 200:
            pass
        service.DEADLINE_S = 0
        late = client.post("/translate", json={"q": "The man sees the red car."})
        return {**seen, "ready_after": after, "late": [late.status_code, late.json()]}


def _failed_warm_up() -> dict[str, bool]:
    def failing_warm_up(predictor: Predictor) -> None:
        raise InferenceError("no answer")

    patch.setattr(Predictor, "warm_up", failing_warm_up)
    translator = Dragoman()
    translator._parsing.shutdown()
    return {"ready": asyncio.run(translator.__is_ready__()), "alive": asyncio.run(translator.__is_alive__())}


config = Dragoman.config
seen = {
    "config": config,
    # BentoML drops the keys it does not know, without a word.
    "config_as_understood": validate(dict(config)),
    "served": _served(),
    "failed_warm_up": _failed_warm_up(),
}
print(json.dumps(seen, default=str))
