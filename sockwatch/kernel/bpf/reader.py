"""What the BPF iterators add to a snapshot: every socket's flags, TIME_WAIT counts, holders."""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from sockwatch.kernel.bpf.flags import OPTIONS_OF_BYTE
from sockwatch.kernel.proc.holders import HoldersByInode
from sockwatch.kernel.sock_diag.inet_diag import address_text
from sockwatch.model import (
    TCP_STATES,
    Holder,
    KernelError,
    SocketGroup,
    SocketOptions,
)

if TYPE_CHECKING:
    from sockwatch.kernel.bpf.iterators import SocketIterators
    from sockwatch.kernel.bpf.rows import Records, TimeWaitGroup

MISSES: Final = 3  # failed samples in a row after which no more are taken


class BpfSample(NamedTuple):
    """What one run of the iterators shows. `holders` is None if their iterator is unavailable.

    `options` are by cookie; `by_inode` holds them for MPTCP sockets, whose subflows have cookies of
    their own. `time_waits` are by port. `spilled` TIME_WAITs did not fit into the kernel's map.
    """

    options: dict[int, SocketOptions]
    by_inode: dict[int, SocketOptions]
    time_waits: dict[int, list[SocketGroup]]
    holders: dict[int, tuple[Holder, ...]] | None
    spilled: int


class BpfReader:
    """Opens the iterators when they are first needed, and remembers if they are unavailable."""

    def __init__(self) -> None:
        self._iterators: SocketIterators | None = None
        self.failure: str | None = None
        self.shortfall: str | None = None  # why one of the iterators is missing
        self.remedy: str | None = None
        self.log = ""
        self._misses = 0
        self._missed: str | None = None

    @property
    def missing(self) -> str | None:
        """Why the last sample is incomplete or missing; None if it is complete."""
        return self.failure or self._missed or self.shortfall

    def ready(self) -> bool:
        """Whether the iterators can be used."""
        if self._iterators is None and self.failure is None:
            # Here, since most users may not use it and it takes time to import.
            from sockwatch.kernel.bpf.errors import BpfUnavailable  # noqa: PLC0415
            from sockwatch.kernel.bpf.iterators import SocketIterators  # noqa: PLC0415

            try:
                self._iterators = SocketIterators()
                failures = self._iterators.failures
                if "tcp" in failures:
                    raise failures["tcp"]
                for missing in failures.values():
                    self.shortfall = str(missing)
                    self.remedy, self.log = missing.remedy, missing.log
            except BpfUnavailable as error:
                self.give_up(str(error), error.remedy, error.log)
        return self.failure is None

    def miss(self, error: str) -> None:
        """A sample has failed; after MISSES in a row no more are taken."""
        self.close()
        self._missed = error
        self._misses += 1
        if self._misses == MISSES:
            self.give_up(error)

    def give_up(self, failure: str, remedy: str | None = None, log: str = "") -> None:
        """Do without the iterators from now on."""
        self.close()
        self.failure, self.remedy, self.log = failure, remedy, log

    def close(self) -> None:
        """Close every fd; ready() opens them again."""
        if self._iterators is not None:
            self._iterators.close()
            self._iterators = None

    def sample(
        self,
        netns_inode: int,
        port: int | None,
        device_name: Callable[[int], str | None],
        cookies: set[int] | None = None,
    ) -> BpfSample:
        """Sample the network namespace of this thread, whose inode is `netns_inode`.

        `cookies` are those of all wanted TCP sockets, if there is no TIME_WAIT among them: the walk
        over the TCP table is skipped if each of them has an fd. Call this after the netlink dump,
        which is what gives a socket its cookie. Raises KernelError.
        """
        iterators = self._iterators
        if iterators is None:
            raise KernelError("the BPF iterators are not open", 0)
        flags_by_cookie: dict[int, int] = {}
        by_inode: dict[int, SocketOptions] = {}
        holders = None
        if "task_file" not in iterators.failures:
            files = iterators.task_files(netns_inode, port)
            flags_by_cookie = files.flags_by_cookie()
            by_inode = {row.inode: OPTIONS_OF_BYTE[row.flags] for row in files}
            holders = _holders(files)
        time_waits: dict[int, list[SocketGroup]] = {}
        spilled = 0
        if cookies is None or not cookies <= flags_by_cookie.keys():
            summary = iterators.tcp_summary(port)
            flags_by_cookie |= summary.rows.flags_by_cookie()
            time_waits = _groups(summary.groups, device_name)
            spilled = summary.spilled
        if "udp" not in iterators.failures:
            flags_by_cookie |= iterators.udp(port).flags_by_cookie()
        self._misses, self._missed = 0, None
        return BpfSample(
            {cookie: OPTIONS_OF_BYTE[byte] for cookie, byte in flags_by_cookie.items()},
            by_inode,
            time_waits,
            holders,
            spilled,
        )


def _holders(files: Records) -> dict[int, tuple[Holder, ...]]:
    holders = HoldersByInode()
    for row in files:
        holders.add(row.inode, row.pid, row.fd)
    return holders.holders()


def _groups(
    counted: Iterable[TimeWaitGroup], device_name: Callable[[int], str | None]
) -> dict[int, list[SocketGroup]]:
    by_port: dict[int, list[SocketGroup]] = defaultdict(list)
    for group in counted:
        options = OPTIONS_OF_BYTE[group.flags]
        is_ipv4 = group.family == socket.AF_INET
        by_port[group.port].append(
            SocketGroup(
                family="ipv4" if is_ipv4 else "ipv6",
                state=TCP_STATES.get(group.state, f"STATE_{group.state}"),
                mini=True,
                address=address_text(group.family, group.packed_address),
                device=device_name(group.device),
                v6only=False if is_ipv4 else options.v6only,
                uid=None,
                count=group.sockets,
                inodes=(),
                first_frees_in_s=group.first_frees_in_s,
                last_frees_in_s=group.last_frees_in_s,
                flags=options.flags,
            )
        )
    return by_port
