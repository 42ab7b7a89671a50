"""One look at the host -> Snapshot."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from sockwatch.kernel import holders, host, proc_net, reuse_flags, sock_diag
from sockwatch.kernel.packed_sockets import PackedSockets
from sockwatch.kernel.processes import ProcessNames
from sockwatch.kernel.row_decoder import OwnerTable
from sockwatch.model import (
    NO_TIME_WAIT,
    UNKNOWN_FLAGS,
    Gap,
    Holder,
    KernelError,
    Port,
    Protocol,
    ReuseFlags,
    Snapshot,
    Socket,
    SocketGroup,
    TimeWait,
)

PROTOCOLS: Final[tuple[Protocol, ...]] = ("tcp", "udp")
# States in which a socket without an fd waits for accept(); in the others its fd was closed.
UNACCEPTED_STATES: Final = frozenset({"SYN_RECV", "ESTABLISHED", "CLOSE_WAIT"})
BOUND_VISIBLE_SINCE: Final = (6, 8)  # net/ipv4/inet_diag.c: TCPF_BOUND_INACTIVE


class SnapshotReader:
    """Takes snapshots of the network namespace it runs in, and remembers who processes are."""

    def __init__(self) -> None:
        self._names = ProcessNames()

    def take(self, port: int | None = None) -> Snapshot:
        """One look at every port, or at one port with each of its connections.

        Raises KernelError where neither sock_diag nor /proc/net can be read.
        """
        started = time.monotonic()
        now = time.time()
        gaps: list[Gap] = []
        tables = {protocol: self._owners(protocol, port, gaps) for protocol in PROTOCOLS}
        wanted = set(_inodes_to_attribute(tables.values(), everything=port is not None))
        scan = holders.scan(wanted)
        identified = self._identify(scan.holders)
        gaps.extend(_holder_gaps(scan, wanted - identified.keys()))
        open_inodes = {
            sock.inode
            for table in tables.values()
            for sockets in table.sockets.values()
            for sock in sockets
            if sock.inode
        }
        reading = reuse_flags.read_flags(open_inodes, scan.holders)
        gaps.extend(_flag_gaps(reading, open_inodes))
        release = host.kernel_release()
        gaps.extend(_bound_gaps(release, tables["tcp"]))
        ports = tuple(
            entry
            for protocol in PROTOCOLS
            for entry in self._ports(protocol, tables[protocol], identified, reading.flags)
        )
        return Snapshot(
            host=host.host_name(),
            kernel=release,
            time=now,
            took_s=time.monotonic() - started,
            netns=host.current_netns(),
            ports=ports,
            gaps=tuple(gaps),
            only_port=port,
        )

    def _owners(self, protocol: Protocol, port: int | None, gaps: list[Gap]) -> OwnerTable:
        try:
            return sock_diag.dump(protocol, host.device_namer(), port)
        except KernelError as refusal:
            try:
                table, gap = proc_net.table(protocol, port, refusal)
            except OSError as error:
                raise refusal from error
            gaps.append(gap)
            return table

    def _identify(self, found: Mapping[int, tuple[Holder, ...]]) -> dict[int, tuple[Holder, ...]]:
        """The same holders with their processes; those that have gone since are left out."""
        pids = {holder.pid for entries in found.values() for holder in entries}
        self._names.forget_others(pids)
        processes = {pid: self._names.identify(pid) for pid in pids}
        identified = {}
        for inode, entries in found.items():
            known = tuple(
                entry._replace(process=process)
                for entry in entries
                if (process := processes[entry.pid]) is not None
            )
            if known:
                identified[inode] = known
        return identified

    def _ports(
        self,
        protocol: Protocol,
        table: OwnerTable,
        found: Mapping[int, tuple[Holder, ...]],
        flags: Mapping[int, ReuseFlags],
    ) -> Iterator[Port]:
        connections = table.connections
        if isinstance(connections, PackedSockets):
            connections.attach(found)
        for number in sorted(table.sockets.keys() | table.groups.keys() | table.half_open.keys()):
            sockets = [self._complete(sock, found, flags) for sock in table.sockets.get(number, ())]
            groups = tuple(table.groups.get(number, ()))
            states = Counter(sock.state for sock in sockets)
            for group in groups:
                states[group.state] += group.count
            orphans, unaccepted = _without_fd(groups)
            if sockets:
                held = [holder for sock in sockets for holder in sock.holders]
            else:
                held = [
                    holder
                    for group in groups
                    for inode in group.inodes or ()
                    for holder in found.get(inode, ())
                ]
            yield Port(
                protocol=protocol,
                number=number,
                states=dict(states),
                listeners=tuple(sock for sock in sockets if sock.state != "BOUND"),
                bound=tuple(sock for sock in sockets if sock.state == "BOUND"),
                groups=groups,
                time_wait=_time_wait(groups),
                orphans=orphans,
                unaccepted=unaccepted,
                half_open=table.half_open.get(number, 0),
                holders=tuple(dict.fromkeys(held)),
                connections=connections,
            )

    def _complete(
        self,
        sock: Socket,
        found: Mapping[int, tuple[Holder, ...]],
        flags: Mapping[int, ReuseFlags],
    ) -> Socket:
        if sock.inode is None:  # from /proc/net, with the one holder that psutil saw
            processes = ((h, self._names.identify(h.pid)) for h in sock.holders)
            return sock._replace(
                holders=tuple(h._replace(process=p) for h, p in processes if p is not None)
            )
        return sock._replace(
            holders=found.get(sock.inode, ()), flags=flags.get(sock.inode, UNKNOWN_FLAGS)
        )


def take_snapshot(port: int | None = None) -> Snapshot:
    """One look at this network namespace; with `port`, at that port alone.

    Raises KernelError where the kernel lets no table be read.
    """
    return SnapshotReader().take(port)


def _inodes_to_attribute(tables: Iterable[OwnerTable], *, everything: bool) -> Iterator[int]:
    """Inodes whose holders are shown: a port's listeners, or its connections if it has none."""
    for table in tables:
        for sockets in table.sockets.values():
            yield from (sock.inode for sock in sockets if sock.inode)
        for number, groups in table.groups.items():
            if everything or number not in table.sockets:
                for group in groups:
                    yield from group.inodes or ()


def _without_fd(groups: Iterable[SocketGroup]) -> tuple[int | None, int | None]:
    """(orphans, unaccepted); None where the table does not tell which sockets have an fd."""
    orphans = unaccepted = 0
    for group in groups:
        if group.mini:
            continue
        if group.inodes is None:
            return None, None
        missing = group.count - len(group.inodes)
        if group.state in UNACCEPTED_STATES:
            unaccepted += missing
        else:
            orphans += missing
    return orphans, unaccepted


def _time_wait(groups: Iterable[SocketGroup]) -> TimeWait:
    found = [group for group in groups if group.state == "TIME_WAIT"]
    if not found:
        return NO_TIME_WAIT
    firsts = [g.first_frees_in_s for g in found if g.first_frees_in_s is not None]
    lasts = [g.last_frees_in_s for g in found if g.last_frees_in_s is not None]
    return TimeWait(
        sum(group.count for group in found),
        min(firsts, default=None),
        max(lasts, default=None),
    )


def _holder_gaps(scan: holders.HolderScan, unattributed: set[int]) -> Iterator[Gap]:
    root = os.geteuid() == 0
    if scan.unreadable:
        yield Gap(
            "holders-not-permitted",
            f"the fds of {_count(scan.unreadable, 'process', 'processes')} may not be read: "
            f"{_count(len(unattributed), 'socket')} without a known holder, and any may have more",
            "the capabilities that those processes have would show them"
            if root
            else "root would show them",
        )
    elif unattributed and not (root and host.sees_every_process()):
        yield Gap(
            "holders-not-visible",
            f"{_count(len(unattributed), 'socket')} held by no process that can be seen from here",
            "root in the host's pid namespace would show the holders",
        )


def _flag_gaps(reading: reuse_flags.FlagReading, inodes: set[int]) -> Iterator[Gap]:
    unknown = _count(len(inodes - reading.flags.keys()), "socket with an fd", "sockets with an fd")
    if inodes <= reading.flags.keys():
        return
    if reading.not_supported:
        yield Gap(
            "flags-not-supported",
            f"reuse flags of {unknown} unknown: pidfd_getfd(2) is not available",
            "linux 5.6 or newer, outside a sandbox that forbids it, would show them",
        )
    else:
        yield Gap(
            "flags-unknown",
            f"reuse flags of {unknown} unknown",
            "a capability that the holder has would show them"
            if os.geteuid() == 0
            else "root would show them for every socket that a process holds",
        )


def _bound_gaps(release: str, tcp: OwnerTable) -> Iterator[Gap]:
    version = re.match(r"(\d+)\.(\d+)", release)
    if version is None or (int(version[1]), int(version[2])) >= BOUND_VISIBLE_SINCE:
        return
    if not any(sock.state == "BOUND" for sockets in tcp.sockets.values() for sock in sockets):
        yield Gap(
            "bound-not-visible",
            f"sockets that are bound but do not listen: linux {release} does not list them",
            "linux 6.8 or newer lists them",
        )


def _count(number: int, singular: str, plural: str | None = None) -> str:
    return f"{number} {singular if number == 1 else plural or singular + 's'}"
