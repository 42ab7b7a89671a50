"""The HTTP server of `sockwatch export`: few connections, none for long."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Final
from urllib.parse import urlsplit

from sockwatch.cli.output import narrate
from sockwatch.model import shortage

Page = Callable[[str], tuple[str, bytes]]  # of an Accept header: the content type, and the text
PATH: Final = "/metrics"
PLAIN: Final = "text/plain; charset=utf-8"
INDEX: Final = b"sockwatch: /metrics\n"
CLIENTS: Final = 16  # at the same time; one more, and the oldest goes
IDLE_S: Final = 5.0  # that a client may be silent
LONGEST_S: Final = 20.0  # of a connection
REFUSED_PAUSE_S: Final = 0.2  # after accept() failed, as without a free fd


def serve(listener: socket.socket, page: Page, tls: ssl.SSLContext | None) -> None:
    """Answer for ever. A client is answered in a thread of its own, which ends with the process."""
    clients = _Clients()
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            time.sleep(REFUSED_PAUSE_S)
            continue
        clients.add(connection)
        thread = threading.Thread(
            target=_answer, args=(connection, page, tls, clients), daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # no thread can be started
            clients.end(connection)


class _Clients:
    """The open connections, the oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[socket.socket, float] = {}

    def add(self, connection: socket.socket) -> None:
        """Make room for it: end the oldest if there are too many, and any that takes too long."""
        now = time.monotonic()
        with self._lock:
            self._open[connection] = now
            too_many = len(self._open) - CLIENTS
            for index, (old, since) in enumerate(self._open.items()):
                if index < too_many or now - since > LONGEST_S:
                    with suppress(OSError):
                        old.shutdown(socket.SHUT_RDWR)

    def end(self, connection: socket.socket) -> None:
        """It is over."""
        with self._lock:
            self._open.pop(connection, None)
            connection.close()


def _answer(
    connection: socket.socket, page: Page, tls: ssl.SSLContext | None, clients: _Clients
) -> None:
    handler = type("Handler", (_Handler,), {"page": staticmethod(page)})
    try:
        connection.settimeout(IDLE_S)
        if tls is None:
            handler(connection, ("", 0), None)
        else:
            # A duplicate: that in `clients` stays open for shutdown().
            with tls.wrap_socket(connection.dup(), server_side=True) as secured:
                handler(secured, ("", 0), None)
    except (OSError, ValueError):
        pass  # the client has gone, or speaks something else
    finally:
        clients.end(connection)


class _Handler(BaseHTTPRequestHandler):
    page: Page
    protocol_version = "HTTP/1.1"
    server_version = "sockwatch"
    sys_version = ""
    timeout = IDLE_S

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == PATH:
            self._send(*self._answer())
        elif path == "/":
            self._send(HTTPStatus.OK, PLAIN, INDEX)
        else:
            self._send(HTTPStatus.NOT_FOUND, PLAIN, b"not found\n")

    def _answer(self) -> tuple[HTTPStatus, str, bytes]:
        try:
            return HTTPStatus.OK, *self.page(self.headers.get("Accept", ""))
        except Exception as error:  # noqa: BLE001 - one that asks odd things ends nothing
            narrate(f"a request got no answer: {shortage(error) or type(error).__name__}")
            return HTTPStatus.INTERNAL_SERVER_ERROR, PLAIN, b"no answer\n"

    do_HEAD = do_GET  # noqa: N815 - the name is the standard library's

    def _send(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing: others choose what would be said."""
