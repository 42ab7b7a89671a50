"""What is kept of one network namespace from visit to visit."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from sockwatch.kernel.bpf.reader import BpfReader
from sockwatch.kernel.facts import read_port_range
from sockwatch.kernel.held import FdSources, HolderFinder
from sockwatch.kernel.host import sees_every_process
from sockwatch.kernel.netns.one_pass import NetnsIterators, OnePass
from sockwatch.kernel.netns.pace import Pace
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.kernel.sock_diag.netlink import NETLINK_SOCK_DIAG
from sockwatch.kernel.sockstat import SocketCounts, read_segments, read_sockstat
from sockwatch.kernel.visit import Visit
from sockwatch.model import Gap, KernelError, Netns, Snapshot

if TYPE_CHECKING:
    from sockwatch.kernel.bpf.counting_iterators import FileSummary


class VisitedNetns:
    """One network namespace that is visited: its last snapshot, and what is used of it again.

    Nothing of it is open between visits, since that would keep the namespace alive.
    """

    def __init__(self, one_pass: OnePass, fds: FdSources) -> None:
        self.pace = Pace()
        self.snapshot: Snapshot | None = None
        self.refusal: Gap | None = None  # why the last visit has failed
        self._pass, self._fds = one_pass, fds
        self._iterators = NetnsIterators(one_pass)
        self._reader: SnapshotReader | None = None
        self._files: FileSummary | None = None  # the pass at the last visit
        self._segments: int | None = 0  # as many had come when there was no half-open request

    def is_news(self, files: FileSummary) -> bool:
        """Whether the pass shows something else than at the last visit."""
        if self._files is None:
            return True
        return files.rows != self._files.rows or set(files.counts) != set(self._files.counts)

    def look(self, netns: Netns) -> Snapshot:
        """A snapshot of the namespace, which the thread has entered. Raises KernelError."""
        started, now = time.monotonic(), time.time()
        before = self.snapshot
        files = self._pass.files(netns.inode or 0)
        counts, segments = read_sockstat(), read_segments()
        self._iterators.counts = counts
        bound = self._may_have_bound(files, counts)
        is_empty = counts is not None and counts.is_empty and not bound
        if before is not None and is_empty and _is_empty(before):
            took_s = time.monotonic() - started
            snapshot = replace(before, time=now, took_s=took_s, netns=netns)
        else:
            port_range, held = read_port_range(), files.rows.inodes()
            requests = segments is None or segments != self._segments
            snapshot = self._read(Visit(netns, _diag(), port_range, counts, held, bound, requests))
            self._segments = None if any(port.half_open for port in snapshot.ports) else segments
        self.snapshot, self._files, self.refusal = snapshot, files, None
        self.pace.visited(started, changed=before is None or not _is_same(before, snapshot))
        return snapshot

    def refuse(self, gap: Gap, files: FileSummary) -> None:
        """Take note that a visit has failed, when the pass has shown this."""
        self.snapshot, self._reader, self.refusal = None, None, gap
        self._files = files
        self.pace.visited(time.monotonic(), changed=False)

    def labelled(self, netns: Netns) -> Snapshot | None:
        """The last snapshot, of the namespace as it is called by now; None if there is none."""
        if self.snapshot is not None and self.snapshot.netns != netns:
            self.snapshot = replace(self.snapshot, netns=netns)
        return self.snapshot

    def _read(self, visit: Visit) -> Snapshot:
        if self._reader is None:
            bpf = BpfReader(self._iterators.shared)
            self._reader = SnapshotReader(bpf, HolderFinder(self._fds))
        with visit.diag:
            snapshot = self._reader.visit(visit)
        if _is_empty(snapshot):
            self._reader = None  # and with it all that it remembers
        return snapshot

    def _may_have_bound(self, files: FileSummary, counts: SocketCounts | None) -> bool:
        """Whether to ask for TCP sockets that are bound and do not listen: no count is theirs."""
        if self.pace.asks_for_bound or files.rows.own_ports()[1]:
            return True
        if self.snapshot is None:
            return True
        is_whole = self._pass.has_passed and sees_every_process()
        if not is_whole and (counts is None or counts.used):
            return True
        return any(port.bound for port in self.snapshot.ports)


def _diag() -> socket.socket:
    """A sock_diag socket of this namespace. Raises KernelError where netlink is refused.

    Not by pyroute2: to open one takes it longer than all else of a visit.
    """
    try:
        return socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG)
    except OSError as error:
        raise KernelError(f"sock_diag: {error.strerror}", error.errno or 0) from error


def _is_empty(snapshot: Snapshot) -> bool:
    return not snapshot.ports and not snapshot.clients.groups


def _is_same(before: Snapshot, now: Snapshot) -> bool:
    """Whether a visit has shown nothing new."""
    return before.ports == now.ports and before.clients == now.clients and before.gaps == now.gaps
