"""TIME_WAITs by the thousand, on the server's side of short connections."""

from __future__ import annotations

import socket
from collections import deque
from contextlib import ExitStack, closing
from pathlib import Path

from tests.support.sock_diag import Diag, Ends
from tests.support.waiting import wait_until

FIRST_PORT = 10000
FIRST_CLIENT_PORT = 20000
CLIENTS_PER_ADDRESS = 20000
LATEST = 16


def make_time_waits(count: int, ports: int, stack: ExitStack, *, keep_open: int = 0) -> list[int]:
    """`count` TIME_WAITs spread over listeners on `ports` ports, and connections that stay open.

    The listeners and connections live as long as the stack. Returns the ports.
    """
    limit = Path("/proc/sys/net/ipv4/tcp_max_tw_buckets")
    if int(limit.read_text()) < count + 1000:
        limit.write_text(str(count + 1000))
    listeners = []
    latest: deque[Ends] = deque(maxlen=LATEST)
    for number in range(FIRST_PORT, FIRST_PORT + ports):
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", number))
        listener.listen(64)
        listeners.append(listener)
    for number in range(count + keep_open):
        # Each client has an address and port of its own: a 4-tuple that comes twice would take
        # over its TIME_WAIT.
        block, offset = divmod(number, CLIENTS_PER_ADDRESS)
        source = (f"127.1.{block >> 8}.{block & 255}", FIRST_CLIENT_PORT + offset)
        listener = listeners[number % ports]
        client = socket.socket()
        client.bind(source)
        client.connect(listener.getsockname())
        server = listener.accept()[0]
        if number < keep_open:
            stack.enter_context(client)
            stack.enter_context(server)
        else:
            latest.append(Ends(server.getsockname(), source))
            server.close()
            client.recv(1)  # else both ends could close at once, and each leave a TIME_WAIT
            client.close()
    # The last FINs may still be on their way, and a TIME_WAIT is counted before it is listed.
    wait_until(lambda: _in_time_wait() >= count)
    with closing(Diag()) as diag:
        wait_until(lambda: all((row := diag.find("ipv4", ends)) and row.mini for ends in latest))
    return [listener.getsockname()[1] for listener in listeners]


def _in_time_wait() -> int:
    """How many there are in this network namespace."""
    words = Path("/proc/thread-self/net/sockstat").read_text().split()
    return int(words[words.index("tw") + 1])
