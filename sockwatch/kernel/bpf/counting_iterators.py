"""The iterators that count in the kernel, each with its maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from sockwatch.kernel.bpf import loader, syscall
from sockwatch.kernel.bpf.assembler import Assembler
from sockwatch.kernel.bpf.clock import ticks_per_second
from sockwatch.kernel.bpf.groups import CountMap, merge_counts, merge_holders
from sockwatch.kernel.bpf.iterator import ONLY_KEY, KernelIterator
from sockwatch.kernel.bpf.rows import (
    COUNT_HOLDERS,
    OWN_PORT_STRUCT,
    HolderCount,
    Records,
    SocketCount,
)
from sockwatch.kernel.bpf.task_file_program import FileMaps, task_file_program
from sockwatch.kernel.bpf.tcp_program import TcpMaps, tcp_program
from sockwatch.model import NO_PORTS, PortSet
from sockwatch.model.port_set import SIZE as PORT_SET_BYTES

if TYPE_CHECKING:
    from sockwatch.kernel.bpf.groups import Entry
    from sockwatch.kernel.bpf.layout import Layout


MOST_OWN_PORTS: Final = 1 << 14  # of all network namespaces together


class TcpSummary(NamedTuple):
    """One pass over TCP: what was written as rows, and what was counted.

    `spilled` sockets did not fit into the kernel's map: they are in `rows`, and in `counts` like
    all others. `client_ports` are those that were folded.
    """

    rows: Records
    counts: list[SocketCount]
    spilled: int
    client_ports: PortSet


class FileSummary(NamedTuple):
    """One pass over all fds: sockets as rows, connections counted by process."""

    rows: Records
    counts: list[HolderCount]


class CountingIterator(KernelIterator):
    """One with a map of counts, and maps that have a bit for each port."""

    _counts: CountMap | None = None

    def _set_ports(self, ports_fd: int, ports: PortSet) -> None:
        """Fill a map that has a bit for each port. Raises KernelError."""
        if self.fds:
            with self.failing():
                syscall.map_update(ports_fd, ONLY_KEY, ports.bits)

    def _keep_ports(self, name: str) -> int:
        """A new map with a bit for each port."""
        return self.keep(
            loader.new_map(
                lambda: syscall.map_create(syscall.ARRAY_MAP, 4, PORT_SET_BYTES, 1, name)
            )
        )

    def _keep_counts(self, counts: CountMap) -> int:
        self._counts = counts
        return self.keep(counts.fd)

    def _take_counts(self) -> list[Entry]:
        return self._counts.take() if self._counts and self.fds else []


class TcpIterator(CountingIterator):
    """The iterator over TCP, with the maps in which it counts."""

    def __init__(self, layout: Layout, entries: int) -> None:
        self._own_ports_fd = self._client_ports_fd = -1

        def make_program(layout: Layout, options_fd: int) -> Assembler:
            counts_fd = self._keep_counts(CountMap.of_sockets(entries))
            self._own_ports_fd = self._keep_ports("sockwatch_own")
            self._client_ports_fd = self._keep_ports("sockwatch_client")
            maps = TcpMaps(options_fd, counts_fd, self._own_ports_fd, self._client_ports_fd)
            return tcp_program(layout, maps, may_read_kernel=loader.may_read_kernel())

        super().__init__("tcp", layout, make_program)

    def counted(
        self, port: int | None, wanted: int, own_ports: PortSet | None = None
    ) -> TcpSummary:
        """A run that counts. Raises BpfUnavailable, KernelError."""
        client_ports = NO_PORTS
        with self.lock:
            # The map is emptied on every way out: what a broken run left must not be counted.
            try:
                if own_ports is not None:
                    self._set_ports(self._own_ports_fd, own_ports)
                    self._set_ports(self._client_ports_fd, client_ports)
                rows, now = self.run(port, wanted=wanted)
                if own_ports is not None:
                    with self.failing():
                        bits = syscall.map_lookup(self._client_ports_fd, ONLY_KEY, PORT_SET_BYTES)
                    client_ports = PortSet(bits)
            finally:
                entries = self._take_counts()
        spilled = rows.spilled()
        counts = merge_counts(entries, spilled, now, ticks_per_second())
        return TcpSummary(rows, counts, len(spilled), client_ports)


class TaskFileIterator(CountingIterator):
    """The iterator over all fds, with the maps in which it counts the holders of connections."""

    def __init__(self, layout: Layout, entries: int) -> None:
        self._own_ports_fd = -1

        def make_program(layout: Layout, options_fd: int) -> Assembler:
            counts_fd = self._keep_counts(CountMap.of_holders(entries))
            self._own_ports_fd = self._keep_ports("sockwatch_own")
            return task_file_program(layout, FileMaps(options_fd, counts_fd, self._own_ports_fd))

        super().__init__("task_file", layout, make_program)

    def counted(self, netns_inode: int, own_ports: PortSet) -> FileSummary:
        """A run that counts. Raises BpfUnavailable, KernelError."""
        with self.lock:
            try:
                self._set_ports(self._own_ports_fd, own_ports)
                rows, _ = self.run(None, wanted=COUNT_HOLDERS, netns_inode=netns_inode)
            finally:
                entries = self._take_counts()
        return FileSummary(rows, merge_holders(entries, rows.spilled()))


class HostFileIterator(CountingIterator):
    """The same over the fds of all network namespaces, each with its own ports."""

    def __init__(self, layout: Layout, entries: int) -> None:
        self._own_ports_fd = -1
        self._own_ports: dict[int, PortSet] = {}  # what that map holds

        def make_program(layout: Layout, options_fd: int) -> Assembler:
            counts_fd = self._keep_counts(CountMap.of_holders(entries))
            self._own_ports_fd = self.keep(loader.new_map(_new_own_ports))
            maps = FileMaps(options_fd, counts_fd, self._own_ports_fd, by_netns=True)
            return task_file_program(layout, maps)

        super().__init__("task_file", layout, make_program)

    def counted(self, own_ports: Mapping[int, PortSet]) -> FileSummary:
        """A run that counts; `own_ports` are by the number of the network namespace.

        Raises BpfUnavailable, KernelError: there may be MOST_OWN_PORTS of them.
        """
        with self.lock:
            try:
                self._set_own_ports(own_ports)
                rows, _ = self.run(None, wanted=COUNT_HOLDERS)
            finally:
                entries = self._take_counts()
        return FileSummary(rows, merge_holders(entries, rows.spilled()))

    def _set_own_ports(self, own_ports: Mapping[int, PortSet]) -> None:
        inodes = self._own_ports.keys() | own_ports.keys()
        pairs = (
            (inode, self._own_ports.get(inode, NO_PORTS), own_ports.get(inode, NO_PORTS))
            for inode in inodes
        )
        changed = [pair for pair in pairs if pair[1] != pair[2]]
        with self.failing():
            for inode, before, wanted in changed:
                for port in set(before) - set(wanted):
                    syscall.map_delete(self._own_ports_fd, OWN_PORT_STRUCT.pack(inode, port))
            for inode, before, wanted in changed:
                for port in set(wanted) - set(before):
                    key = OWN_PORT_STRUCT.pack(inode, port)
                    syscall.map_update(self._own_ports_fd, key, bytes(4))
        self._own_ports = dict(own_ports)


def _new_own_ports() -> int:
    return syscall.map_create(
        syscall.HASH_MAP, OWN_PORT_STRUCT.size, 4, MOST_OWN_PORTS, "sockwatch_owns"
    )
