"""A process in the sandbox's network namespace that takes snapshots and changes settings.

It is a process of its own since an ordinary user's sandbox has a user namespace, which only a
process with a single thread may enter.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any, Final

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.kernel.sock_diag.destroy import destroy
from sockwatch.lab.model import LabError
from sockwatch.lab.namespaces import join, name_process
from sockwatch.model import Snapshot

# Besides 127.0.0.0/8 and ::1: addresses for documentation, RFC 5737 and RFC 3849.
ALIASES: Final = (("192.0.2.1", 24), ("192.0.2.2", 24), ("2001:db8::1", 64), ("2001:db8::2", 64))
SS_TIMEOUT_S: Final = 10


def main() -> None:
    """Argument: the fd of the connection. The namespaces to join come over it."""
    fd = int(sys.argv[1])
    name_process("sockwatch-look")
    with socket.socket(fileno=os.dup(fd)) as handles:
        word, fds, _, _ = socket.recv_fds(handles, 64, 2)
    if not word:  # no sandbox came about
        return
    connection = Connection(fd)
    expected: int | None = json.loads(word)  # the inode of its network namespace
    try:
        join(fds)
        if expected is not None:
            check_netns(expected)
            _make_addresses()
        connection.send(None)
    except (OSError, NetlinkError, LabError) as error:
        connection.send(str(error))
        return
    with SnapshotReader() as reader:
        observer = Observer(reader, expected)
        with suppress(EOFError, ConnectionError):  # sockwatch is gone
            while True:
                verb, arguments = connection.recv()
                reply: Any
                try:
                    reply = getattr(observer, f"do_{verb}")(*arguments)
                except Exception as error:  # noqa: BLE001 - sockwatch raises it again
                    reply = error
                connection.send(reply)


def _make_addresses() -> None:
    with IPRoute() as route:
        route.link("set", index=1, state="up")
        for address, length in ALIASES:
            with suppress(NetlinkError):  # no IPv6 here
                # Nobody else is on the link who could have the address: no duplicate detection.
                flags = {"flags": 2} if ":" in address else {}  # IFA_F_NODAD
                route.addr("add", index=1, address=address, prefixlen=length, **flags)


def check_netns(inode: int | None) -> None:
    """Raise LabError unless this process is in the network namespace with this inode."""
    if inode is None or os.stat("/proc/self/ns/net").st_ino != inode:
        raise LabError("this is not the sandbox's network namespace: nothing is changed here")


class Observer:
    """Carries out what sockwatch asks for: a method ``do_X`` for each command X.

    `netns` is the inode of the sandbox's network namespace; None means the host's, in which
    nothing may be changed.
    """

    def __init__(self, reader: SnapshotReader, netns: int | None) -> None:
        self._reader = reader
        self._netns = netns

    def do_take_snapshot(self, number: int | None) -> Snapshot:
        """A snapshot of one port, or of all. Raises KernelError."""
        snapshot = self._reader.take(number, fold=False)
        # Packed rows stay where they are; what goes to another process are values.
        ports = (
            port if port.connections is None else port._replace(connections=tuple(port.connections))
            for port in snapshot.ports
        )
        return replace(snapshot, ports=tuple(ports))

    def do_set_sysctl(self, name: str, value: str) -> None:
        """Write net.ipv4.`name`. Raises OSError, LabError."""
        check_netns(self._netns)
        with open(f"/proc/sys/net/ipv4/{name}", "w") as file:
            file.write(value)

    def do_end_time_waits(self, port: int) -> int:
        """End them, and return how many they were. Raises KernelError, LabError."""
        check_netns(self._netns)
        observed = self._reader.take(port).port("tcp", port)
        sockets = (observed.connections or ()) if observed is not None else ()
        return destroy([sock for sock in sockets if sock.state == "TIME_WAIT"])

    def do_ss(self, port: int) -> str | None:
        """The lines of `ss -ltn` for this port; None if ss is not installed."""
        program = shutil.which("ss")
        if program is None:
            return None
        ran = subprocess.run(
            [program, "-H", "-ltn", f"sport = :{port}"],
            capture_output=True,
            text=True,
            timeout=SS_TIMEOUT_S,
            check=True,
        )
        return ran.stdout
