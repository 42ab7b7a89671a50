"""What a record of a failed call means."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, TypeVar

from sockwatch.failure import Failure, Policies
from sockwatch.kernel.bpf.flags import OPTIONS_OF_BYTE
from sockwatch.kernel.capabilities import CAP_DAC_OVERRIDE, CAP_NET_BIND_SERVICE
from sockwatch.kernel.failures.address import failed_address, family_name, protocol_name
from sockwatch.kernel.failures.policies import REFUSALS, read_policies
from sockwatch.kernel.failures.process import Who, WhoFailed, comm
from sockwatch.kernel.failures.rows import BIND, CAPABLE, CAPABLE_OF_ALL, SEEN_SOCKET, FailureRow
from sockwatch.kernel.failures.wall_clock import WallClock
from sockwatch.kernel.proc.pidfd import open_pidfd, socket_kind, socket_options
from sockwatch.model import UNKNOWN_FLAGS, Gap, GapCode, ReuseFlags

SOCKET_UNSEEN: Final = Gap(
    GapCode.SOCKET_UNSEEN,
    "the failing socket could not be inspected: its flags and protocol are unknown",
    "use a kernel built with CONFIG_DEBUG_INFO_BTF, which tells them at the moment of failure",
)
Answer = TypeVar("Answer")


class FailureDecoder:
    """Adds what is known of the processes to records, and remembers the last processes."""

    def __init__(self) -> None:
        self._who = WhoFailed()
        self._clock = WallClock()

    def failures(self, rows: Iterable[FailureRow]) -> tuple[Failure, ...]:
        """The failures that the records tell of, in the same order."""
        self._clock.follow()
        failures = tuple(self._failure(row) for row in rows)
        self._who.forget_others({failure.pid for failure in failures if failure.pid})
        return failures

    def _failure(self, row: FailureRow) -> Failure:
        who = self._who.identify(row)
        asked = failed_address(row)
        sock = _seen_by_kernel(row) if row.seen & SEEN_SOCKET else _seen_from_here(row, who)
        gaps = [gap for gap in (who.gap, None if sock.protocol else SOCKET_UNSEEN) if gap]
        return Failure(
            time=self._clock.at(row.time_ns),
            call="bind" if row.call == BIND else "listen",
            errno=_errno_name(row.errno),
            pid=who.pid,
            tid=who.tid,
            comm=comm(row),
            uid=row.uid,
            fd=row.fd,
            gid=row.gid,
            dac_override=bool(row.capabilities >> CAP_DAC_OVERRIDE & 1),
            process=who.process,
            parent_name=who.parent_name,
            protocol=sock.protocol,
            family=asked.family or sock.family,
            address=asked.address,
            port=asked.port,
            device_index=asked.device_index or sock.device_index,
            netns_inode=sock.netns_inode,
            flags=sock.flags,
            v6only=sock.v6only,
            socket_uid=sock.uid,
            own_group=bool(row.own_group),
            net_bind_service=sock.net_bind_service,
            capabilities_count=bool(row.capable_here) if row.seen & SEEN_SOCKET else None,
            inode=sock.inode,
            socket_family=sock.family,
            address_length=row.length if row.call == BIND else None,
            is_bound=sock.is_bound,
            port_range=sock.port_range,
            policies=_policies(row, who),
            unix=asked.unix,
            repeats=row.repeats,
            gaps=tuple(gaps),
        )


def _errno_name(number: int) -> str:
    """As bind(2) and listen(2) write it; Python prefers ENOTSUP, which is the same number."""
    if number == errno.EOPNOTSUPP:
        return "EOPNOTSUPP"
    return errno.errorcode.get(number, str(number))


def _policies(row: FailureRow, who: Who) -> Policies | None:
    if _errno_name(row.errno) not in REFUSALS:
        return None
    return read_policies(row, (who.tid or who.pid) if who.alive else None)


class _SeenSocket(NamedTuple):
    """What is known of the failing socket."""

    protocol: str | None = None
    family: str | None = None
    flags: ReuseFlags = UNKNOWN_FLAGS
    v6only: bool | None = None
    uid: int | None = None
    inode: int | None = None
    device_index: int = 0
    netns_inode: int | None = None
    net_bind_service: bool | None = None
    is_bound: bool | None = None
    port_range: tuple[int, int] | None = None


def _seen_by_kernel(row: FailureRow) -> _SeenSocket:
    """At the moment of failure."""
    options = OPTIONS_OF_BYTE[row.flags]
    has_it = bool(row.capabilities >> CAP_NET_BIND_SERVICE & 1)
    capable = row.capable_here == CAPABLE_OF_ALL or (row.capable_here == CAPABLE and has_it)
    return _SeenSocket(
        protocol_name(row.family, row.type, row.protocol),
        family_name(row.family),
        options.flags,
        options.v6only,
        row.socket_uid,
        row.inode or None,
        row.device,
        row.netns_inode or None,
        capable,
        bool(row.has_name if row.family == socket.AF_UNIX else row.port),
        (row.port_range & 0xFFFF, row.port_range >> 16) if row.port_range else None,
    )


def _seen_from_here(row: FailureRow, who: Who) -> _SeenSocket:
    """Where the kernel's structs are not known: by the fd, while the process has it."""
    netns = row.netns_inode or None
    if not who.alive or who.pid is None:
        return _SeenSocket(netns_inode=netns)
    thread = who.tid or who.pid
    if netns is None:
        netns = _quietly(lambda: os.stat(f"/proc/{thread}/ns/net").st_ino)
    link = _quietly(lambda: os.readlink(f"/proc/{thread}/fd/{row.fd}")) or ""
    if not link.startswith("socket:["):
        return _SeenSocket(netns_inode=netns)
    inode = int(link[len("socket:[") : -1])
    try:
        with open_pidfd(who.pid) as pidfd:
            kind = socket_kind(pidfd, row.fd, inode)
            options = socket_options(pidfd, row.fd, inode)
    except OSError:
        kind = options = None
    if kind is None or options is None:
        return _SeenSocket(inode=inode, netns_inode=netns)
    return _SeenSocket(
        protocol_name(*kind),
        family_name(kind[0]),
        options.flags,
        options.v6only,
        inode=inode,
        netns_inode=netns,
    )


def _quietly(ask: Callable[[], Answer]) -> Answer | None:
    """The result; None if the process has exited or is hidden."""
    try:
        return ask()
    except OSError:
        return None
