"""How long a scrape of `sockwatch export` takes beside the look that it is of.

Both are told for a host with so many listeners, one after the other in the same rounds: nothing
changes between the looks, and then, with one listener in ten gone and come again.

Run: .venv/bin/python -m tests.bench.scrape [LISTENERS] [ROUNDS]
"""

from __future__ import annotations

import gc
import socket
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from sockwatch.export.exposition import Writer
from sockwatch.export.families import Exporter
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.model import HostSnapshot, Snapshot
from tests.support.netns import fresh_netns

FIRST_PORT: Final = 10_000
ACCEPT: Final = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4"


def listener(port: int) -> socket.socket:
    """One on loopback."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen()
    return sock


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(listeners: int, rounds: int) -> None:
    """Print a line for each kind of round."""
    with fresh_netns(), ExitStack() as stack, SnapshotReader() as reader:
        socks = [listener(FIRST_PORT + index) for index in range(listeners)]
        exporter, writer = Exporter("bench"), Writer()

        def close() -> None:
            for sock in socks:
                sock.close()

        def unchanged() -> None:
            pass

        def change() -> None:
            for index in range(0, listeners, 10):
                socks[index].close()
                socks[index] = listener(FIRST_PORT + index)

        def of(snapshot: Snapshot) -> bytes:
            return writer.negotiated(exporter.families(HostSnapshot((snapshot,))), ACCEPT)[1]

        stack.callback(close)
        gc.enable()
        of(reader.take())
        for name, before in (("as it was", unchanged), ("one in ten is new", change)):
            looks, scrapes, size = [], [], 0
            for _ in range(rounds):
                before()
                looks.append(seconds(reader.take))
                before()
                scrapes.append(seconds(lambda: of(reader.take())))
                size = len(of(reader.take()))
            look, scrape = statistics.median(looks), statistics.median(scrapes)
            print(
                f"{listeners} listeners, {name}: look {look * 1000:.1f} ms, scrape"
                f" {scrape * 1000:.1f} ms, {scrape / look:.2f} x, {size / 1000:.0f} kB"
            )


if __name__ == "__main__":
    measure(*(int(each) for each in (sys.argv[1:3] + ["1000", "30"][len(sys.argv) - 1 :])))
