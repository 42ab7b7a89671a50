"""The table as proc_net(5) shows it, for what cannot be asked by netlink; a gap says what lacks.

A line is as get_tcp4_sock(), get_timewait4_sock() and get_openreq4() of net/ipv4/tcp_ipv4.c and
udp4_format_sock() of net/ipv4/udp.c write it, and their twins for IPv6.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Final, NamedTuple, TypeAlias

from sockwatch.kernel.gaps import netlink_gap
from sockwatch.kernel.proc import holders
from sockwatch.kernel.proc.processes import TICKS_PER_S
from sockwatch.kernel.sock_diag.owners import OwnerTable, first_holders
from sockwatch.kernel.sock_diag.socket_row import connection_v6only, state_name
from sockwatch.model import Family, Gap, Holder, KernelError, Process, Protocol, Socket, SocketGroup

FOLDER: Final = "/proc/thread-self/net"
FILES: Final[dict[Protocol, dict[str, Family]]] = {
    "tcp": {"tcp": "ipv4", "tcp6": "ipv6"},
    "udp": {"udp": "ipv4", "udp6": "ipv6"},
}
TIME_WAIT_TIMER: Final = "03"  # of TIME_WAITs, and of a FIN_WAIT2 after close()
NO_REFERENCE: Final = "0"  # of a half-open request alone
SERVER_STATES: Final = ("LISTEN", "BOUND", "UNCONN")

Identify: TypeAlias = Callable[[int], Process | None]
HoldersByInode: TypeAlias = Mapping[int, tuple[Holder, ...]]


class _Alike(NamedTuple):
    """What the members of a group have in common."""

    family: Family
    state: str
    mini: bool
    address: str
    port: int
    uid: int | None


@dataclass(slots=True)
class _Members:
    count: int = 0
    inodes: list[int] = field(default_factory=list)  # of those with an fd
    first_frees_in_s: float | None = None
    last_frees_in_s: float | None = None


class ProcNetRows:
    """The sockets of a protocol on every port, or on `port`: feed() it, then ask for owners().

    `inodes` are those of sockets with an fd.
    """

    def __init__(self, protocol: Protocol, port: int | None = None) -> None:
        self.protocol: Final = protocol
        self.inodes: set[int] = set()
        self._port = port
        self._servers: list[Socket] = []
        self._members: dict[_Alike, _Members] = {}
        self._connections: list[Socket] = []
        self._half_open: dict[int, int] = {}
        # The kernel takes no lock from one page to the next, and may show a socket twice.
        self._seen: set[tuple[str, ...]] = set()

    def feed(self, family: Family, text: bytes) -> None:
        """Add the whole lines of a file. Raises KernelError for a line that has another form."""
        for line in text.decode("ascii", "replace").split("\n")[1:-1]:
            try:
                self._add(family, line.split())
            except (IndexError, ValueError, struct.error) as error:
                raise KernelError(f"/proc/net/{self.protocol}: {line!a:.100}", 0) from error

    def _add(self, family: Family, words: list[str]) -> None:
        local, peer, state_number, queues, timer, uid, inode = (
            *words[1:6], words[7], words[9],
        )  # fmt: skip
        raw_address, _, raw_port = local.partition(":")
        port = int(raw_port, 16)
        if not 0 < port < 1 << 16 or (self._port is not None and port != self._port):
            return
        identity = (family, local, peer, inode)
        if identity in self._seen:
            return
        self._seen.add(identity)
        state = state_name(self.protocol, int(state_number, 16))
        if state == "SYN_RECV" and words[10] == NO_REFERENCE:
            self._half_open[port] = self._half_open.get(port, 0) + 1
            return
        kind, _, clock = timer.partition(":")
        alike = _Alike(
            family=family,
            state=state,
            mini=self.protocol == "tcp" and kind == TIME_WAIT_TIMER,
            address=_address(raw_address),
            port=port,
            uid=int(uid),
        )
        if alike.mini:
            alike = alike._replace(uid=None)
        frees_in_s = int(clock, 16) / TICKS_PER_S if alike.mini else None
        if number := int(inode):
            self.inodes.add(number)
        is_server = state in SERVER_STATES
        if is_server or self._port is not None:
            sock = self._socket(alike, number, frees_in_s, peer, queues)
            (self._servers if is_server else self._connections).append(sock)
        if not is_server:
            self._count(alike, number, frees_in_s)

    def _socket(
        self, alike: _Alike, inode: int, frees_in_s: float | None, peer: str, queues: str
    ) -> Socket:
        sent, _, received = queues.partition(":")
        peer_address, _, peer_port = peer.partition(":")
        is_connected = int(peer_port, 16) != 0
        return Socket(
            protocol=self.protocol,
            family=alike.family,
            state=alike.state,
            address=alike.address,
            port=alike.port,
            peer_address=_address(peer_address) if is_connected else None,
            peer_port=int(peer_port, 16) if is_connected else None,
            device=None,
            v6only=_v6only(alike),
            uid=alike.uid,
            inode=inode,
            cookie=0,
            mini=alike.mini,
            queue=int(received, 16),
            backlog=None if alike.state == "LISTEN" else int(sent, 16),
            frees_in_s=frees_in_s,
        )

    def _count(self, alike: _Alike, inode: int, frees_in_s: float | None) -> None:
        members = self._members.setdefault(alike, _Members())
        members.count += 1
        if inode:
            members.inodes.append(inode)
        if frees_in_s is not None:
            first, last = members.first_frees_in_s, members.last_frees_in_s
            members.first_frees_in_s = frees_in_s if first is None else min(first, frees_in_s)
            members.last_frees_in_s = frees_in_s if last is None else max(last, frees_in_s)

    def owners(self, held: HoldersByInode) -> OwnerTable:
        """The owners, with these holders."""
        servers: dict[int, list[Socket]] = {}
        for sock in self._servers:
            servers.setdefault(sock.port, []).append(_with_holders(sock, held))
        table = OwnerTable({port: tuple(sockets) for port, sockets in servers.items()})
        table.half_open.update(self._half_open)
        for alike, members in self._members.items():
            table.groups[alike.port].append(
                SocketGroup(
                    family=alike.family,
                    state=alike.state,
                    mini=alike.mini,
                    address=alike.address,
                    device=None,
                    v6only=_v6only(alike),
                    uid=alike.uid,
                    count=members.count,
                    with_fd=len(members.inodes),
                    first_frees_in_s=members.first_frees_in_s,
                    last_frees_in_s=members.last_frees_in_s,
                    holders=first_holders(members.inodes, held),
                )
            )
        if self._port is not None:
            table.connections = [_with_holders(sock, held) for sock in self._connections]
        return table


def table(
    protocol: Protocol, port: int | None, refusal: KernelError, identify: Identify
) -> tuple[OwnerTable, Gap]:
    """What /proc/net shows of the protocol, and the gap that goes with it.

    `identify` finds a process by its pid. Raises the refusal where that cannot be read either.
    """
    rows = ProcNetRows(protocol, port)
    files = 0
    for name, family in FILES[protocol].items():
        try:
            with open(f"{FOLDER}/{name}", "rb") as file:
                rows.feed(family, file.read())
            files += 1
        except FileNotFoundError:  # a kernel without IPv6
            continue
        except (OSError, KernelError) as error:
            raise refusal from error
    if not files:
        raise refusal
    held = holders.scan(rows.inodes).holders
    return rows.owners(identified(held, identify)), netlink_gap(protocol, refusal)


def identified(held: HoldersByInode, identify: Identify) -> HoldersByInode:
    """The holders with their processes, without those that have exited since."""
    process_of = cache(identify)
    return {
        inode: tuple(
            holder._replace(process=process)
            for holder in some
            if (process := process_of(holder.pid)) is not None
        )
        for inode, some in held.items()
    }


def _with_holders(sock: Socket, held: HoldersByInode) -> Socket:
    return sock._replace(holders=held.get(sock.inode or 0, ()))


def _v6only(alike: _Alike) -> bool | None:
    family = socket.AF_INET if alike.family == "ipv4" else socket.AF_INET6
    return connection_v6only(family, alike.address)


@lru_cache(maxsize=4096)
def _address(text: str) -> str:
    """An address that the kernel has written as numbers of 32 bits in its own byte order."""
    numbers = [int(text[start : start + 8], 16) for start in range(0, len(text), 8)]
    if len(numbers) not in (1, 4):
        raise ValueError(text)
    raw = struct.pack(f"={len(numbers)}I", *numbers)
    return socket.inet_ntop(socket.AF_INET if len(numbers) == 1 else socket.AF_INET6, raw)
