"""TorchServe's handler for every task: it carries bytes to ``dragoman.http.protocol`` and answers back.

It runs inside a ``.mar``, beside the ``dragoman`` package and the bundle (``model_registry.packaging.mar``).
TorchServe wants exactly one class in this file.
"""

import logging
import os
import threading
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from dragoman.bundle.store import open_bundle
from dragoman.engines.mixing import unhurried
from dragoman.engines.selection import configured_engine
from dragoman.errors import DragomanError, InvalidInput
from dragoman.http.protocol import Reply, answer, check_body_size, error_reply
from dragoman.items.bodies import (
    FORM_TYPE,
    JSON_TYPE,
    MULTIPART_TYPE,
    Part,
    RawRequest,
    not_a_form,
    repeated_form_field,
    sent_as_form,
)
from dragoman.live.pointer import LOOK_EVERY_S, Following
from dragoman.metrics.torchserve import TorchServeMetrics
from dragoman.predictor import load
from dragoman.tasks.base import task_class

log = logging.getLogger(__name__)

# The two names under which gRPC clients send a body; REST has the first one only.
BODY_KEYS = ("body", "data")
# A line end, or an '&' after the last field: bytes that may be missing from a form without a loss.
FORM_SLACK_BYTES = 2
# Far more than the headers of a part with a boundary: where a body is longer, the front end has dropped a part of it.
PART_SLACK_BYTES = 1_024
# Seconds for a batch; requests that it does not finish get an error. At the responseTimeout of model-config.yaml
# TorchServe would kill the worker, and every request of the batch would fail.
DEADLINE_S = 240
# Read once, when a process first asks CUDA for its devices.
VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"


class Seq2SeqHandler:
    """The handler of one worker: answers a batch, each request with its own status.

    Bad input never raises, since an exception would fail the whole batch.
    """

    def initialize(self, context: Any) -> None:
        """Load and verify the bundle of this archive and answer once; raises RuntimeError alone."""
        # The worker would decode JSON itself, pass on what it cannot decode, and read NaN and double keys as it likes.
        # It looks this up at each request.
        os.environ["TS_DECODE_INPUT_REQUEST"] = "false"
        properties = context.system_properties
        if properties["gpu_id"] is not None:
            # Engines take the first GPU that they see, and TorchServe means each worker to have another.
            os.environ[VISIBLE_GPUS] = _gpu_of_worker(properties["gpu_id"], os.environ.get(VISIBLE_GPUS))
        try:
            packaged = open_bundle(Path(properties["model_dir"]) / "bundle")
            engine = configured_engine(task_class(packaged.manifest.task).engines)
            load_here = partial(load, engine=engine, device="cpu" if properties["gpu_id"] is None else "auto")
            self._following = Following.configured(packaged.manifest, load_here)
            self._predictor = (self._following and self._following.look(packaged.manifest)) or load_here(packaged)
            self._predictor.warm_up()
        except Exception as error:
            # The only kind that the worker reports as a model that does not load; it just dies of any other.
            raise RuntimeError(str(error)) from error
        self._metrics = TorchServeMetrics(context.metrics, packaged.manifest.name)
        # Held while a batch is answered, so that the model cannot change under it.
        self._serving = threading.Lock()
        self._show()
        if self._following:
            threading.Thread(target=self._follow, args=(self._following,), daemon=True).start()

    def _show(self) -> None:
        manifest = self._predictor.bundle.manifest
        log.info("serving %s %s: %s", manifest.name, manifest.version, dict(self._predictor.describe()))
        self._metrics.serves(self._predictor)
        self._metrics.ready(True)

    def _follow(self, following: Following) -> None:
        """Switch to the model that an alias of the registry names, for as long as the worker lives."""
        while True:
            time.sleep(LOOK_EVERY_S)
            try:
                with unhurried():
                    predictor = following.look(self._predictor.bundle.manifest)
                if predictor is not None:
                    with self._serving:
                        before, self._predictor = self._predictor, predictor
                    before.close()
                    self._show()
                self._metrics.follows(following)
            except Exception:
                # Whatever it was, the worker must keep looking for the next champion.
                log.exception("changing the model failed; serving on what is loaded")

    def handle(self, data: Sequence[Mapping[str, Any]], context: Any) -> list[bytes]:
        """Answer all requests of a batch together, in order, and set each one's status and content type."""
        began = time.monotonic()
        with self._serving:
            read = [self._read(row, context.get_all_request_header(index)) for index, row in enumerate(data)]
            requests = [entry for entry in read if isinstance(entry, RawRequest)]
            on_computed = partial(self._metrics.batch_ended, self._predictor)
            answers = iter(answer(self._predictor, requests, deadline=began + DEADLINE_S, on_computed=on_computed))
            replies = [next(answers) if isinstance(entry, RawRequest) else entry for entry in read]
        for index, reply in enumerate(replies):
            # The phrase and the content type must be ASCII: the worker counts characters and sends bytes.
            context.set_response_status(reply.status, HTTPStatus(reply.status).phrase, index)
            context.set_response_content_type(index, JSON_TYPE)
            if not _is_rest(context.get_all_request_header(index)):
                # Without this, one call of gRPC's StreamPredictions ends the worker and the whole batch with it.
                context.set_response_header(index, "ts_stream_next", "false")
        self._metrics.batch_took(time.monotonic() - began)
        self._metrics.ready(self._predictor.computing.is_healthy)
        return [reply.content for reply in replies]

    def _read(self, row: Mapping[str, Any], headers: Mapping[str, Any]) -> RawRequest | Reply:
        """Find the body of a request in the row that TorchServe made of it, or the reply that refuses it."""
        task = self._predictor.task
        try:
            if not _is_rest(headers):
                key = next(iter(row), None)
                if len(row) == 1 and key in BODY_KEYS:
                    return RawRequest(body=bytes(row[key]))
                return RawRequest(parts=_parts(row)) if task.takes_files else RawRequest(form=_fields(row))
            # TorchServe keeps the case in which the client wrote a header's name. Of two the first counts.
            sent: dict[str, str] = {}
            for name, value in headers.items():
                if isinstance(value, str):
                    sent.setdefault(name.lower(), value)
            content_type, length = sent.get("content-type"), sent.get("content-length", "")
            sent_bytes, limit = int(length) if length.isdecimal() else 0, task.limits.max_body_bytes
            raw = RawRequest(body=bytes(row.get("body", b"")), content_type=content_type)
            # A front end started for files leaves forms as they are (deploy.torchserve.undecoded_forms).
            is_decoded = "body" not in row or _type_of("body", headers) != FORM_TYPE
            if raw.media_type == FORM_TYPE and is_decoded:
                check_body_size(sent_bytes, limit)
                if task.takes_files:
                    raise sent_as_form()
                return _form_request(row, sent_bytes)
            # Without a boundary the front end splits nothing.
            if raw.media_type == MULTIPART_TYPE and "boundary=" in (content_type or "").lower():
                check_body_size(sent_bytes, limit)
                parts = _parts(row)
                if sent_bytes > sum(len(part.content) + PART_SLACK_BYTES for part in parts) and parts:
                    raise repeated_form_field()
                return RawRequest(content_type=content_type, parts=parts)
            return raw
        except DragomanError as error:
            return error_reply(error)


def _gpu_of_worker(gpu_id: int, visible: str | None) -> str:
    """Return the one GPU that a worker may see, of those that are visible; TorchServe numbers these from 0."""
    if visible is None:
        return str(gpu_id)
    names = visible.split(",")
    # TorchServe takes an empty list for no limit, CUDA for no GPU.
    return names[gpu_id].strip() if gpu_id < len(names) else visible


def _is_rest(headers: Mapping[str, Any]) -> bool:
    # A gRPC request has no headers: what stands here then is a dictionary for each of its inputs, and no text.
    return any(isinstance(value, str) for value in headers.values())


def _parts(row: Mapping[str, Any]) -> list[Part]:
    """Read the parts of a multipart body as TorchServe hands them over, the last one of equal names alone."""
    return [Part(name=name, content=bytes(value)) for name, value in row.items()]


def _type_of(name: str, headers: Mapping[str, Any]) -> str:
    """Return the content type that TorchServe notes beside an input; empty where there is none."""
    # A header of the request stands under its name as text.
    noted = headers.get(name)
    return str(noted.get("content-type", "")) if isinstance(noted, Mapping) else ""


def _form_request(row: Mapping[str, Any], sent_bytes: int) -> RawRequest:
    """Read a form as TorchServe hands it over, which keeps the last of equal fields and nothing without '='."""
    fields = _fields(row)
    # The longest encoding in use: no client sends more bytes for the same text.
    quoted = partial(urllib.parse.quote, safe="")
    encoded = "&".join(f"{quoted(name)}={quoted(values[0])}" for name, values in fields.items())
    if sent_bytes <= len(encoded) + FORM_SLACK_BYTES or any(name.lstrip().startswith("{") for name in fields):
        return RawRequest(form=fields)
    # Bytes are missing: of a body without '=', which is JSON as a rule, nothing is left; of equal fields the last is.
    raise repeated_form_field() if fields else not_a_form()


def _fields(row: Mapping[str, Any]) -> dict[str, list[str]]:
    try:
        return {name: [bytes(value).decode("utf-8")] for name, value in row.items()}
    except UnicodeDecodeError as error:
        raise InvalidInput(f"a form field is not UTF-8 at byte {error.start}; send UTF-8") from error
