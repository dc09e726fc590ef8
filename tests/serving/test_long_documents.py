"""One client with the longest document that is allowed, and others with a sentence each: nobody is turned away."""

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from deploy.run.bento import BentoServer
from dragoman.bundle.store import open_bundle
from dragoman.items.outcomes import Result
from dragoman.predictor import load
from dragoman.tasks.translation.options import Limits
from model_registry.packaging.bento import build_bento
from tests.tiny_model import write_tiny_bundle

CLIENTS = 8


def document(sentences: list[str]) -> str:
    """Write as many different lines of one sentence each as a document may have."""
    chooser = random.Random(3)
    words = sorted({word for sentence in sentences for word in sentence.split()})
    lines = (f"{' '.join(chooser.choices(words, k=4))} {number}." for number in range(10_000))
    return "\n".join(lines)[: Limits().max_characters]


def test_while_the_longest_document_is_translated_short_requests_are_answered_and_none_is_refused(
    toy_sentences: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = open_bundle(write_tiny_bundle(tmp_path, toy_sentences, limits=Limits()))
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "bentoml"))
    text = document(toy_sentences)
    assert len(text) == bundle.manifest.limits["max_characters"]
    is_over = threading.Event()

    def short(number: int) -> list[tuple[str, httpx.Response]]:
        """Send short requests one after the other until the document's client has its answer, and return theirs."""
        found = []
        with httpx.Client(timeout=60, trust_env=False) as client:
            while not is_over.is_set():
                sentence = f"{toy_sentences[number]} {len(found)}"
                found.append((sentence, client.post(url, json={"q": sentence})))
        return found

    with BentoServer(build_bento(bundle), directory=tmp_path, log=tmp_path / "log") as server:
        url = f"{server.url}/translate"
        with ThreadPoolExecutor(CLIENTS) as clients:
            asking = [clients.submit(short, number) for number in range(CLIENTS)]
            try:
                # Short translations, so that a busy machine is done with them before the server's deadline.
                body = {"q": text, "max_new_tokens": 8}
                translated = httpx.post(url, json=body, timeout=120, trust_env=False)
            finally:
                is_over.set()
            answers = [client.result() for client in asking]

    assert translated.status_code == 200, translated.text[:300]
    assert translated.json()["translatedText"].count("\n") == text.count("\n")
    assert Counter(response.status_code for found in answers for _, response in found).keys() == {200}
    assert min(map(len, answers)) >= 2
    assert translations(bundle.path, [sentence for found in answers for sentence, _ in found]) == [
        response.json()["translatedText"] for found in answers for _, response in found
    ]


def translations(bundle: Path, sentences: list[str]) -> list[str]:
    predictor = load(bundle)
    outcomes = predictor(sentences)
    predictor.close()
    return [outcome.value.text for outcome in outcomes if isinstance(outcome, Result)]
