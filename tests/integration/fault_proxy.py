"""A proxy before a real server that behaves like a failing network: it loses replies, and lets requests wait."""

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

# Decides by the method and path of a request whether a fault hits it.
Lose = Callable[[str, str], bool]
HOP_BY_HOP = {"connection", "content-length", "transfer-encoding", "content-encoding", "host", "keep-alive"}


class FaultProxy:
    """A forwarder of requests; ``lost`` counts, by the end of the path, the replies that were not passed on.

    A request that ``stall`` holds for is kept until ``flow`` is set, and then forwarded if its client still waits. One
    that ``fail`` holds for is answered with 500.
    """

    def __init__(self, target: str) -> None:
        self.lost: Counter[str] = Counter()
        self.lose: Lose = lambda method, path: False
        self.stall: Lose = lambda method, path: False
        self.fail: Lose = lambda method, path: False
        self.stalled, self.flow = threading.Event(), threading.Event()
        self._target = target
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.uri = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator["FaultProxy"]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def _handler(proxy) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - self is the handler's inside
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {key: value for key, value in self.headers.items() if key.lower() not in HOP_BY_HOP}
                if proxy.stall(self.command, self.path):
                    proxy.stalled.set()
                    proxy.flow.wait(120)
                    if self.is_deserted():
                        return
                if proxy.fail(self.command, self.path):
                    self.send_error(500)
                    return
                url = proxy._target + self.path
                answer = requests.request(
                    self.command, url, data=body, headers=headers, timeout=60, allow_redirects=False
                )
                path = self.path.partition("?")[0]
                if answer.ok and proxy.lose(self.command, path):
                    proxy.lost["/".join(path.split("/")[-2:])] += 1
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(answer.status_code)
                for key, value in answer.headers.items():
                    if key.lower() not in HOP_BY_HOP:
                        self.send_header(key, value)
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            def is_deserted(self) -> bool:
                try:
                    return not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
                except BlockingIOError:
                    return False

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward  # noqa: N815 - the names http.server calls

            def log_message(self, *arguments: object) -> None:
                pass

        return Handler


def every_second(*endings: str) -> Lose:
    """Lose the first reply, pass on the second, and so on, for each kind of request that ends so."""
    seen: Counter[str] = Counter()

    def lose(method: str, path: str) -> bool:
        if method == "GET" or not path.endswith(endings):
            return False
        seen[path] += 1
        return seen[path] % 2 == 1

    return lose
