"""What connections leave behind, made by processes of the stage."""

from __future__ import annotations

import socket

from tests.stage.actors import bound, listen
from tests.support.full_window import fill


def connections(*options: int, address: str = "127.0.0.1", port: int = 8080) -> list[socket.socket]:
    """(listener, accepted, client) of one process."""
    listener = listen(address, port, *options)
    client = socket.create_connection(listener.getsockname()[:2])
    return [listener, listener.accept()[0], client]


def accepted_only(*options: int, address: str = "127.0.0.1") -> list[socket.socket]:
    """A connection whose listener is closed."""
    listener, accepted, client = connections(*options, address=address)
    listener.close()
    return [accepted, client]


def accepted_of_ipv6() -> list[socket.socket]:
    """A connection over IPv6 whose dual-stack listener is closed."""
    with listen("::") as listener:
        client = socket.create_connection(("::1", 8080))
        return [client, listener.accept()[0]]


def leave_close_wait() -> socket.socket:
    """A connection that the client has closed, and the server has not; no listener."""
    accepted, client = accepted_only()
    client.close()
    return accepted


def leave_time_wait(*options: int) -> None:
    """A TIME_WAIT, and no listener."""
    for sock in (sockets := connections(*options))[1:]:
        sock.close()
    sockets[0].close()


def leave_orphan() -> socket.socket:
    """An orphan in FIN_WAIT1, which has data that the client does not take; no listener."""
    listener, accepted, client = connections()
    fill(accepted)
    accepted.close()
    listener.close()
    return client


def half_closed(address: str, port: int = 8080) -> list[socket.socket]:
    """A living connection in FIN_WAIT1, on an address of its own."""
    sockets = connections(address=address, port=port)
    fill(sockets[1])
    sockets[1].shutdown(socket.SHUT_WR)
    return sockets


def unaccepted() -> list[socket.socket]:
    """A listener, and a connection that it has not accepted."""
    listener = listen()
    return [listener, socket.create_connection(listener.getsockname())]


def connected(port: int) -> socket.socket:
    """A client that lets the kernel choose its port."""
    return socket.create_connection(("127.0.0.1", port))


def all_bound(ports: range) -> list[socket.socket]:
    """A socket on each of the ports."""
    return [bound("127.0.0.1", port) for port in ports]
