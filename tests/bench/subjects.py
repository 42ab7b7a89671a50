"""What is measured within Python, each in a fresh process that has its modules loaded.

Run by the benchmark: python -m tests.bench.subjects NAME PORT; prints a sample as JSON.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

Work = Callable[[], object]
NETLINK_SOCK_DIAG = 4
SWITCHED_OFF = "switched off for the comparison"
FLOOR = "floor: drain the dump"
FRESH, KEPT = "take_snapshot()", "look of a kept reader"
ONE_PORT, WHY = "take_snapshot(port)", "why"
PSUTIL, PYROUTE2 = "psutil.net_connections", "stock pyroute2"
NEED_BPF = frozenset({FRESH, KEPT, ONE_PORT, WHY})


def without(name: str) -> str:
    """The same without BPF."""
    return f"{name}, no BPF"


def floor(_: int) -> Work:
    """Drain the netlink dump of TCP and look at nothing of it."""
    from sockwatch.kernel.sock_diag import inet_diag, netlink

    body = inet_diag.tcp_request()
    length = netlink.HEADER_SIZE + len(body)
    kind = inet_diag.TCPDIAG_GETSOCK
    head = netlink.REQUEST_HEADER.pack(length, kind, netlink.NLM_F_REQUEST_DUMP, 1, 0)

    def drain() -> None:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as sock:
            sock.send(head + body)
            data = b""
            while data[-20:-14] != netlink.HEADER.pack(20, netlink.NLMSG_DONE):
                data = sock.recv(65536)

    return drain


def snapshot(*, bpf: bool, kept: bool = False, port: bool = False, why: bool = False) -> Subject:
    """A look as the library takes it; a kept reader has taken one before."""

    def prepare(number: int) -> Work:
        from sockwatch.bind import BindRequest
        from sockwatch.kernel.snapshot import SnapshotReader
        from sockwatch.view.answer import Answer

        wanted = number if port else None
        request = BindRequest("tcp", "0.0.0.0", number)

        def reader() -> SnapshotReader:
            new = SnapshotReader()
            if not bpf:
                new._bpf.give_up(SWITCHED_OFF)
            return new

        def work() -> None:
            with reader() as fresh:
                seen = fresh.take(wanted)
            if why:
                Answer.to(request, seen)

        with reader() as first:
            # Loads what is loaded late.
            Answer.to(BindRequest("tcp", "0.0.0.0", 1), first.take(1))
        if kept:
            standing = reader()
            standing.take(wanted)
            return lambda: standing.take(wanted)
        return work

    return prepare


def psutil_connections(_: int) -> Work:
    import psutil

    return lambda: psutil.net_connections("tcp")


def stock_pyroute2(_: int) -> Work:
    from pyroute2.netlink.diag import SS_ALL, DiagSocket

    def ask() -> None:
        with DiagSocket() as diag:
            for family in (socket.AF_INET, socket.AF_INET6):
                diag.get_sock_stats(family=family, states=SS_ALL)

    return ask


Subject = Callable[[int], Work]
SUBJECTS: dict[str, Subject] = {
    FLOOR: floor,
    FRESH: snapshot(bpf=True),
    without(FRESH): snapshot(bpf=False),
    KEPT: snapshot(bpf=True, kept=True),
    without(KEPT): snapshot(bpf=False, kept=True),
    ONE_PORT: snapshot(bpf=True, port=True),
    without(ONE_PORT): snapshot(bpf=False, port=True),
    WHY: snapshot(bpf=True, port=True, why=True),
    without(WHY): snapshot(bpf=False, port=True, why=True),
    PSUTIL: psutil_connections,
    PYROUTE2: stock_pyroute2,
}


def peak_bytes() -> int:
    """The most memory that this process has had resident since its exec."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def main() -> None:
    work = SUBJECTS[sys.argv[1]](int(sys.argv[2]))
    started, cpu = time.perf_counter(), time.process_time()
    work()
    sample = {
        "wall_s": time.perf_counter() - started,
        "cpu_s": time.process_time() - cpu,
        "peak_bytes": peak_bytes(),
        "code": 0,
    }
    print(json.dumps(sample))


if __name__ == "__main__":
    main()
