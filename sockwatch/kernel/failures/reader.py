"""Every bind() and listen() of the host that fails, as it happens."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple, Self, TypeVar

from sockwatch.failure import Failure, Policies
from sockwatch.kernel.bpf.flags import OPTIONS_OF_BYTE
from sockwatch.kernel.capabilities import CAP_DAC_OVERRIDE, CAP_NET_BIND_SERVICE
from sockwatch.kernel.failures.address import failed_address, family_name, protocol_name
from sockwatch.kernel.failures.policies import REFUSALS, read_policies
from sockwatch.kernel.failures.process import Who, WhoFailed, comm
from sockwatch.kernel.failures.rows import BIND, CAPABLE, CAPABLE_OF_ALL, SEEN_SOCKET, FailureRow
from sockwatch.kernel.failures.tracepoint import RING_BYTES, FailureTracepoint
from sockwatch.kernel.failures.wall_clock import WallClock
from sockwatch.kernel.proc.pidfd import open_pidfd, socket_kind, socket_options
from sockwatch.model import UNKNOWN_FLAGS, Gap, GapCode, ReuseFlags

if TYPE_CHECKING:
    from sockwatch.kernel.bpf.layout import Layout

BATCH: Final = 1000  # failures handed out at once
REPEATS_EVERY_S: Final = 1.0
SOCKET_UNSEEN: Final = Gap(
    GapCode.SOCKET_UNSEEN,
    "the failing socket could not be inspected: its flags and protocol are unknown",
    "use a kernel built with CONFIG_DEBUG_INFO_BTF, which tells them at the moment of failure",
)
Answer = TypeVar("Answer")


class FailureReader:
    """Watches from its creation until close(), or until this process exits.

    Use it from one thread, except for wake(). Raises BpfUnavailable where watching is refused.
    """

    def __init__(self, layout: Layout | None = None, ring_bytes: int = RING_BYTES) -> None:
        self._who = WhoFailed()
        self._clock = WallClock()
        self._tracepoint = FailureTracepoint(layout, ring_bytes)
        self._took_repeats_at = 0.0
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll = select.epoll()
        self._epoll.register(self._tracepoint.fd, select.EPOLLIN)
        self._epoll.register(self._wake_fd, select.EPOLLIN)

    @property
    def lost(self) -> int:
        """How many failures did not fit into the kernel's ring, or had an invalid record."""
        return self._tracepoint.lost + self._tracepoint.odd_records

    def wait(self, timeout_s: float | None = None) -> tuple[Failure, ...]:
        """The next failures, oldest first; empty after the timeout or a wake().

        None means no timeout.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            remaining_s = None if until is None else max(0.0, until - time.monotonic())
            ready = self._epoll.poll(self._poll_s(remaining_s))
            if any(fd == self._wake_fd for fd, _ in ready):
                with suppress(BlockingIOError):
                    os.eventfd_read(self._wake_fd)
                return self.take()
            failures = self.take()
            if failures or (until is not None and time.monotonic() >= until):
                return failures

    def _poll_s(self, remaining_s: float | None) -> float:
        """How long to poll: counted repeats do not make the ring readable."""
        if not self._tracepoint.has_bursts:
            return -1 if remaining_s is None else remaining_s
        return REPEATS_EVERY_S if remaining_s is None else min(remaining_s, REPEATS_EVERY_S)

    def take(self) -> tuple[Failure, ...]:
        """The failures so far, without waiting; counted repeats come once a second."""
        rows = self._tracepoint.take(BATCH)
        if time.monotonic() - self._took_repeats_at >= REPEATS_EVERY_S:
            # Such a row is one of the repeats itself.
            rows += [
                row._replace(repeats=row.repeats - 1) for row in self._tracepoint.take_repeats()
            ]
            self._took_repeats_at = time.monotonic()
        if not rows:
            return ()
        self._clock.follow()
        failures = tuple(self._failure(row) for row in rows)
        self._who.forget_others({failure.pid for failure in failures if failure.pid})
        return failures

    def wake(self) -> None:
        """Make wait() return; may be called from any thread."""
        os.eventfd_write(self._wake_fd, 1)

    def close(self) -> None:
        """Detach; nothing stays in the kernel."""
        self._epoll.close()
        self._tracepoint.close()
        os.close(self._wake_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
