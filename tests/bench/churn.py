"""Short connections that come and go all the time."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.bench.crowds import listener
from tests.support.due import Due

PORT = 9_000
SLICE_S = 0.01
ENOUGH = 0.9  # of the connections that are wanted
LONG_ENOUGH_S = 1.0  # for a rate


@contextmanager
def short_connections(per_s: int) -> Iterator[Callable[[], None]]:
    """So many a second, which the server closes at once.

    Yields what raises RuntimeError if there were fewer for a second or more, up to its call.
    """
    waiting, end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(end)
            _work(waiting, per_s)
        finally:
            os._exit(0)
    os.close(waiting)
    since, before = time.monotonic(), _accepted()

    def check() -> None:
        nonlocal since, before
        now, accepted = time.monotonic(), _accepted()
        if now - since < LONG_ENOUGH_S:
            return
        reached = (accepted - before) / (now - since)
        since, before = now, accepted
        if reached < ENOUGH * per_s:
            raise RuntimeError(f"only {reached:.0f} connections a second")

    try:
        yield check
    finally:
        os.close(end)
        os.waitpid(pid, 0)


def _work(waiting: int, per_s: int) -> None:
    with listener("127.0.0.1", PORT) as server:
        due = Due(partial(_connect, server), per_s)
        started = time.monotonic()
        while not select.select([waiting], [], [], SLICE_S)[0]:
            due.catch_up(time.monotonic() - started)


def _connect(server: socket.socket) -> None:
    with socket.create_connection(server.getsockname()):
        server.accept()[0].close()


def _accepted() -> int:
    """Connections that servers of this network namespace have been asked for, since it is there."""
    rows = [line.split() for line in Path("/proc/net/snmp").read_text().splitlines()]
    names, values = (row for row in rows if row[0] == "Tcp:")
    return int(values[names.index("PassiveOpens")])
