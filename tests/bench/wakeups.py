"""How long after a server has closed its port a wait knows, beside loops that try bind().

Each round has a port for each contender; the server closes all of them at once, at a random moment.

Run: .venv/bin/python -m tests.bench.wakeups [ROUNDS] [TIME_WAITS]
"""

from __future__ import annotations

import os
import pickle
import random
import socket
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Final, NamedTuple

from sockwatch.act.waiting import take_now, wait_until_free
from sockwatch.bind import BindRequest
from sockwatch.bind.pair import RequestPair
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.kernel.wakeups import Wakeups
from tests.support.netns import fresh_netns, set_ipv4_sysctl
from tests.support.time_waits import make_time_waits

ADDRESS: Final = "127.0.0.1"
FIRST_PORT: Final = 8080
Ready = Callable[[], None]
Contend = Callable[[int, Ready], None]


class Known(NamedTuple):
    """When it knew, by time.monotonic(), and the processor time that its waiting took."""

    at: float
    cpu_s: float


def by_events(port: int, ready: Ready) -> None:
    pair = RequestPair(BindRequest("tcp", ADDRESS, port))
    with SnapshotReader() as reader, Wakeups([port]) as wakeups:
        assert wait_until_free(
            [pair], partial(take_now, reader), wakeups, 60, lambda _: ready()
        ).is_free


def by_trying(every_s: float, port: int, ready: Ready) -> None:
    while True:
        with socket.socket() as sock:
            try:
                sock.bind((ADDRESS, port))
                sock.listen()
            except OSError:
                ready()
            else:
                return
        time.sleep(every_s)


CONTENDERS: Final[dict[str, Contend]] = {
    "sockwatch wait": by_events,
    "bind() every 0.01 s": partial(by_trying, 0.01),
    "bind() every 0.1 s": partial(by_trying, 0.1),
    "bind() every 1 s": partial(by_trying, 1.0),
}


def start(contend: Contend, port: int, own: list[socket.socket]) -> int:
    """Fork a process that waits; the fd that first tells it is ready, and then what it knows."""
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        return reader
    begun = [0.0]
    try:
        for sock in own:
            sock.close()

        def ready() -> None:
            if not begun[0]:
                begun[0] = time.process_time()
                os.write(writer, b"1")

        contend(port, ready)
        known = Known(time.monotonic(), time.process_time() - begun[0])
        os.write(writer, pickle.dumps(known))
    finally:
        os._exit(0)


def one_round() -> list[tuple[float, float]]:
    """Of each contender how late it was, and the processor time of a second of waiting."""
    servers = []
    for number in range(len(CONTENDERS)):
        server = socket.socket()
        server.bind((ADDRESS, FIRST_PORT + number))
        server.listen()
        servers.append(server)
    pipes = [
        start(contend, FIRST_PORT + number, servers)
        for number, contend in enumerate(CONTENDERS.values())
    ]
    for pipe in pipes:
        assert os.read(pipe, 1) == b"1"
    began = time.monotonic()
    time.sleep(random.uniform(0.5, 1.5))  # noqa: S311 - no secret
    closed = time.monotonic()
    for server in servers:
        server.close()
    results = []
    for pipe in pipes:
        with open(pipe, "rb") as file:
            known: Known = pickle.loads(file.read())
        os.wait()
        results.append((known.at - closed, known.cpu_s / (known.at - began)))
    return results


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    time_waits = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with fresh_netns(), ExitStack() as stack:
        set_ipv4_sysctl("ip_local_port_range", "60000 65000")
        if time_waits:
            make_time_waits(time_waits, 1, stack)
        results = [one_round() for _ in range(rounds)]
    columns = list(zip(*results, strict=True))
    first_ms = statistics.median(late for late, _ in columns[0]) * 1000
    for name, column in zip(CONTENDERS, columns, strict=True):
        late_ms = sorted(late * 1000 for late, _ in column)
        median, cpu = statistics.median(late_ms), statistics.median(share for _, share in column)
        print(
            f"{name:20} knows after {median:7.1f} ms ({median / first_ms:5.1f} x),"
            f" worst of {rounds} {late_ms[-1]:7.1f} ms; waiting takes {cpu:.2%} of a core"
        )


if __name__ == "__main__":
    main()
