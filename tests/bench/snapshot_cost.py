"""What a look costs beside the tools people would use instead, in one run, on real sockets.

Run: .venv/bin/python -m tests.bench.snapshot_cost [TIME_WAITS [PORTS]]
"""

from __future__ import annotations

import os
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack

import psutil
from pyroute2.netlink.diag import SS_ALL, DiagSocket

from sockwatch.kernel import inet_diag
from sockwatch.kernel.snapshot import SnapshotReader
from tests.support.netns import fresh_netns
from tests.support.time_waits import make_time_waits

ROUNDS = 7
NETLINK_SOCK_DIAG = 4


def floor() -> int:
    """Drain the netlink dump of TCP without looking at it; the bytes it had."""
    body = inet_diag.tcp_request()
    head = struct.pack(
        "<IHHII",
        inet_diag.HEADER_SIZE + len(body),
        inet_diag.TCPDIAG_GETSOCK,
        inet_diag.NLM_F_REQUEST_DUMP,
        1,
        0,
    )
    received = 0
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as sock:
        sock.send(head + body)
        while True:
            data = sock.recv(65536)
            received += len(data)
            if inet_diag.HEADER.unpack_from(data, len(data) - 20) == (20, inet_diag.NLMSG_DONE):
                return received


def ss() -> None:
    subprocess.run(["ss", "-tanH"], stdout=subprocess.DEVNULL, check=True)


def stock_pyroute2() -> None:
    with DiagSocket() as diag:
        for family in (socket.AF_INET, socket.AF_INET6):
            diag.get_sock_stats(family=family, states=SS_ALL)


def seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    ports = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    reader, plain = SnapshotReader(), SnapshotReader()
    plain._bpf.give_up("switched off for the comparison")
    alone = f"one port, {count // ports} TIME_WAITs"
    quick: dict[str, Callable[[], object]] = {
        "floor: drain the dump, look at nothing": floor,
        "take_snapshot() without BPF": plain.take,
        f"{alone}, without BPF": lambda: plain.take(10000),
        "ss -tanH": ss,
    }
    if os.geteuid() == 0:
        quick |= {
            "take_snapshot() with all flags": reader.take,
            f"{alone}, with all flags": lambda: reader.take(10000),
        }
    slow: dict[str, Callable[[], object]] = {
        "psutil.net_connections": lambda: psutil.net_connections("tcp"),
        "stock pyroute2 get_sock_stats": stock_pyroute2,
    }
    with fresh_netns(), ExitStack() as stack:
        make_time_waits(count, ports, stack)
        times: dict[str, list[float]] = {name: [] for name in quick | slow}
        for _ in range(ROUNDS):
            for name, function in quick.items():
                times[name].append(seconds(function))
        for name, function in slow.items():
            times[name].append(seconds(function))
        left = sum(port.time_wait.count for port in reader.take().ports)
    print(f"{count} TIME_WAITs made over {ports} ports, {left} left at the end")
    print(f"{'':44} {'median':>9} {'worst':>9} {'x ss':>7} {'x floor':>7}")
    reference = statistics.median(times["ss -tanH"])
    lowest = statistics.median(times[next(iter(quick))])
    for name, taken in times.items():
        median = statistics.median(taken)
        print(
            f"{name:44} {median * 1000:6.1f} ms {max(taken) * 1000:6.1f} ms"
            f" {median / reference:7.2f} {median / lowest:7.2f}"
        )


if __name__ == "__main__":
    main()
