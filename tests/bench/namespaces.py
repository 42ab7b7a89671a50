"""What looks at many network namespaces cost, at one a second, beside those at one.

Run by the benchmark: python -m tests.bench.namespaces WHAT SECONDS; prints a Looks as JSON.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial

from tests.bench.crowds import bound_client, listener, processes
from tests.support.netns import enter_new_netns
from tests.support.time_waits import FIRST_PORT

IDLE, BUSY = 500, 20  # namespaces
LISTENERS, CONNECTIONS = 10, 500  # of each that is busy; both ends are there
CHANGES_PER_S = 10
SURVEY, OWN = "survey", "own"
MANY_IDLE = f"{IDLE} idle namespaces"
MANY_BUSY = f"{BUSY} busy namespaces"
ONE_BUSY = "the same sockets in one namespace"


@dataclass(frozen=True, slots=True)
class Looks:
    """CPU time of all threads. `oldest_s` is the highest age of a snapshot that was shown."""

    namespaces: int
    sockets: int
    looks: int
    seconds: float
    cpu_s: float
    oldest_s: float

    @property
    def cpu_share(self) -> float:
        return self.cpu_s / self.seconds

    @property
    def cpu_of_a_look_s(self) -> float:
        return self.cpu_s / self.looks


def measured(watch_s: float) -> dict[str, Looks]:
    """By load; call it in a network namespace of its own, where the busy sockets of one go."""
    found = {}
    with processes(IDLE, 5, 0, enter_new_netns):
        found[MANY_IDLE] = watch(SURVEY, watch_s)
    with busy(apart=True):
        found[MANY_BUSY] = watch(SURVEY, watch_s)
    with busy(apart=False):
        found[ONE_BUSY] = watch(OWN, watch_s)
    return found


def watch(what: str, watch_s: float) -> Looks:
    """In a process of its own."""
    command = [sys.executable, "-m", "tests.bench.namespaces", what, str(watch_s)]
    return Looks(**json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))


@contextmanager
def busy(*, apart: bool) -> Iterator[None]:
    """Sockets that come and go, of BUSY processes, each `apart` in a namespace of its own."""
    with ExitStack() as stack:
        for number in range(BUSY):
            stack.enter_context(_changing(partial(_connections, number, apart=apart)))
        yield


@contextmanager
def _changing(prepare: Callable[[], Callable[[], None]]) -> Iterator[None]:
    """A child that calls what `prepare` returns CHANGES_PER_S times a second."""
    ready, tell = os.pipe()
    wait, stop = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(stop)
            change = prepare()
            os.write(tell, b"1")
            while not select.select([wait], [], [], 1 / CHANGES_PER_S)[0]:
                change()
        finally:
            os._exit(0)
    os.close(tell)
    os.close(wait)
    try:
        if os.read(ready, 1) != b"1":
            raise RuntimeError("a process could not make its sockets")
        yield
    finally:
        os.close(ready)
        os.close(stop)
        os.waitpid(pid, 0)


def _connections(number: int, *, apart: bool) -> Callable[[], None]:
    if apart:
        enter_new_netns()
    servers = [
        listener("127.0.0.1", FIRST_PORT + number * LISTENERS + each) for each in range(LISTENERS)
    ]
    numbers = iter(range(number * 1_000_000, (number + 1) * 1_000_000))
    held = deque[tuple[object, object]]()

    def connect() -> None:
        mine = next(numbers)
        client, server = bound_client(mine), servers[mine % LISTENERS]
        client.connect(server.getsockname())
        held.append((client, server.accept()[0]))

    def change() -> None:
        held.popleft()
        connect()

    for _ in range(CONNECTIONS):
        connect()
    return change


def main() -> None:
    what, watch_s = sys.argv[1], float(sys.argv[2])
    print(json.dumps(asdict(survey(watch_s) if what == SURVEY else own(watch_s))))


def survey(watch_s: float) -> Looks:
    from sockwatch.kernel.netns.survey import Survey

    oldest_s = 0.0
    with Survey() as looking:
        looking.take()
        started, cpu = time.monotonic(), time.process_time()
        for _ in at_1_hz(started, watch_s):
            last = looking.take()
            oldest_s = max(oldest_s, *(time.time() - each.time for each in last.snapshots))
        seconds, cpu_s = time.monotonic() - started, time.process_time() - cpu
    sockets = sum(sum(port.states.values()) for each in last.snapshots for port in each.ports)
    return Looks(len(last.snapshots), sockets, int(watch_s), seconds, cpu_s, oldest_s)


def own(watch_s: float) -> Looks:
    from sockwatch.kernel.snapshot import SnapshotReader

    with SnapshotReader() as reader:
        reader.take()
        started, cpu = time.monotonic(), time.process_time()
        for _ in at_1_hz(started, watch_s):
            last = reader.take()
        seconds, cpu_s = time.monotonic() - started, time.process_time() - cpu
    sockets = sum(sum(port.states.values()) for port in last.ports)
    return Looks(1, sockets, int(watch_s), seconds, cpu_s, last.took_s)


def at_1_hz(started: float, watch_s: float) -> Iterator[None]:
    """Go on once a second, so many times."""
    for number in range(1, int(watch_s) + 1):
        time.sleep(max(0.0, started + number - time.monotonic()))
        yield


if __name__ == "__main__":
    main()
