"""A real HTTP server on this machine that misbehaves as told: what the tests of downloads talk to.

A behaviour is a function of the request's handler. ``server.at("/file", first, second)`` answers the first request
with ``first`` and every later one with ``second``; ``server.requests`` remembers what was asked and sent.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import socket
import threading
import time
from collections.abc import Callable

ETAG = '"version-1"'


@dataclasses.dataclass
class Request:
    """One request and what became of it."""

    path: str
    range: str | None
    if_range: str | None
    sent_bytes: int = 0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    request_seen: Request

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.request_seen = Request(path, self.headers["Range"], self.headers["If-Range"])
        with self.server.lock:
            self.server.seen.append(self.request_seen)
            queue = self.server.behaviours.get(path, [status(404)])
            behaviour = queue.pop(0) if len(queue) > 1 else queue[0]
        self.close_connection = True
        with contextlib.suppress(ConnectionError, TimeoutError):
            behaviour(self)

    def head(self, status: int, **headers: object) -> None:
        """Status line and headers; ``content_length=3`` becomes ``content-length: 3``."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Connection", "close")
        self.end_headers()

    def body(self, data: bytes) -> None:
        self.request_seen.sent_bytes += len(data)  # before: when the write returns, the client may have gone on
        try:
            self.wfile.write(data)
        except OSError:
            self.request_seen.sent_bytes -= len(data)
            raise

    def asked_from(self) -> int:
        """The first byte that the client wants."""
        return int(self.request_seen.range.removeprefix("bytes=").rstrip("-")) if self.request_seen.range else 0

    def log_message(self, *_: object) -> None:
        """Tests read ``requests``."""


Behaviour = Callable[[Handler], None]


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.seen: list[Request] = []
        self.behaviours: dict[str, list[Behaviour]] = {}


class HostileServer:
    """``with HostileServer() as server: server.at("/a", whole(DATA))``."""

    def __enter__(self) -> HostileServer:
        self._server = _Server()
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.port: int = self._server.server_address[1]
        self.requests = self._server.seen
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def at(self, path: str, *behaviours: Behaviour) -> str:
        """Answer ``path`` so, one behaviour a request, the last for good; returns the address."""
        self._server.behaviours[path] = list(behaviours)
        return self.url(path)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def served_bytes(self) -> int:
        return sum(request.sent_bytes for request in self.requests)


def whole(data: bytes, etag: str | None = ETAG) -> Behaviour:
    """A good server: ranges, and If-Range against ``etag``."""
    return lambda handler: _good(handler, data, etag, None, 0.0)


def drip(data: bytes, chunk_bytes: int, pause_s: float) -> Behaviour:
    """A good but slow server."""
    return lambda handler: _good(handler, data, ETAG, chunk_bytes, pause_s)


def _good(handler: Handler, data: bytes, etag: str | None, chunk_bytes: int | None, pause_s: float) -> None:
    start = handler.asked_from()
    wanted_version = handler.request_seen.if_range
    extra = {"ETag": etag} if etag else {}
    if start and start >= len(data):
        return handler.head(416, content_range=f"bytes */{len(data)}", content_length=0)
    if start and wanted_version in (None, etag):
        last = len(data) - 1
        handler.head(206, content_length=len(data) - start, content_range=f"bytes {start}-{last}/{len(data)}", **extra)
    else:
        start = 0
        handler.head(200, content_length=len(data), **extra)
    step = chunk_bytes or max(1, len(data))
    for position in range(start, len(data), step):
        handler.body(data[position : position + step])
        time.sleep(pause_s)


def no_ranges(data: bytes) -> Behaviour:
    """Sends everything, whatever part was asked for."""

    def behave(handler: Handler) -> None:
        handler.head(200, content_length=len(data), ETag=ETAG)
        handler.body(data)

    return behave


def dies_after(data: bytes, sent_bytes: int) -> Behaviour:
    """A good server whose connection breaks after ``sent_bytes`` of the body."""

    def behave(handler: Handler) -> None:
        start = handler.asked_from()
        if start:
            content_range = f"bytes {start}-{len(data) - 1}/{len(data)}"
            handler.head(206, content_length=len(data) - start, content_range=content_range, ETag=ETAG)
        else:
            handler.head(200, content_length=len(data), ETag=ETAG)
        handler.body(data[start : start + sent_bytes])
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)

    return behave


def stalls(data: bytes, sent_bytes: int, silence_s: float) -> Behaviour:
    """Falls silent in the middle."""

    def behave(handler: Handler) -> None:
        handler.head(200, content_length=len(data), ETag=ETAG)
        handler.body(data[:sent_bytes])
        handler.wfile.flush()
        time.sleep(silence_s)

    return behave


def lies_about_size(data: bytes, said_bytes: int) -> Behaviour:
    """States another Content-Length than it sends."""

    def behave(handler: Handler) -> None:
        handler.head(200, content_length=said_bytes)
        handler.body(data)

    return behave


def endless(chunk: bytes) -> Behaviour:
    """A body without a stated size or an end."""

    def behave(handler: Handler) -> None:
        handler.head(200)
        while True:
            handler.body(chunk)

    return behave


def wrong_range(data: bytes, shift_bytes: int = 7) -> Behaviour:
    """Answers a range with another one."""

    def behave(handler: Handler) -> None:
        start = handler.asked_from() + shift_bytes
        body = data[start:]
        handler.head(206, content_length=len(body), content_range=f"bytes {start}-{len(data) - 1}/{len(data)}")
        handler.body(body)

    return behave


def status(code: int, **headers: object) -> Behaviour:
    """An answer without a body."""
    return lambda handler: handler.head(code, content_length=0, **headers)


def redirect(location: str) -> Behaviour:
    return status(302, Location=location)


def page(text: str = "<!DOCTYPE html><html>please confirm</html>") -> Behaviour:
    """An error page that calls itself a success."""

    def behave(handler: Handler) -> None:
        handler.head(200, content_length=len(text), content_type="text/html")
        handler.body(text.encode())

    return behave
