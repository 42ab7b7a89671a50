"""Looks at all network namespaces of the host."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

from sockwatch.kernel.bpf.reader import BpfReader
from sockwatch.kernel.held import HolderFinder
from sockwatch.kernel.netns.catalogue import NetnsCatalogue, NetnsGone
from sockwatch.kernel.netns.host_fds import HostFdSources
from sockwatch.kernel.netns.one_pass import NetnsIterators, OnePass
from sockwatch.kernel.netns.pace import LONGEST_S
from sockwatch.kernel.netns.unprivileged import UnprivilegedReader
from sockwatch.kernel.netns.visited import VisitedNetns
from sockwatch.kernel.netns.visitor import LostError, Visitor
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.model import AS_ROOT, Gap, GapCode, HostSnapshot, KernelError, Netns

if TYPE_CHECKING:
    from typing_extensions import Self

Key: TypeAlias = tuple[int | None, int | None, int | None]

VISITS_CPU_S: Final = 0.02  # of a look, for namespaces whose last snapshot may still be shown


class Survey:
    """Takes snapshots of the host; close() it, or use it as a context manager.

    Our own namespace is looked at each time, another one where BPF shows that its sockets have
    changed, as far as there is time, or when its turn has come. A snapshot that is LONGEST_S old is
    renewed in any case.
    """

    def __init__(self) -> None:
        self._catalogue = NetnsCatalogue()
        self._visitor = Visitor()
        self._pass = OnePass()
        self._fds = HostFdSources(self._pass.servers_again)
        own = BpfReader(NetnsIterators(self._pass).shared)
        self._own = SnapshotReader(own, HolderFinder(self._fds.sources))
        self._visited: dict[Key, VisitedNetns] = {}
        self._unprivileged = UnprivilegedReader() if os.geteuid() != 0 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End its thread and its child, and close what is kept open in the kernel."""
        self._visitor.close()
        self._pass.close()
        self._catalogue.close()
        if self._unprivileged is not None:
            self._unprivileged.close()

    def take(self) -> HostSnapshot:
        """A snapshot of every network namespace. Raises KernelError if our own has none."""
        return self._visitor.run(self._take)

    def _take(self) -> HostSnapshot:
        self._fds.begin()
        self._pass.begin()
        own, *others = self._catalogue.namespaces(max_age_s=0.0)
        snapshot = self._own.take()
        if snapshot.netns != own:
            snapshot = replace(snapshot, netns=own)
        self._forget_others(own, others)
        ended = self._visit_due(others)
        known = [(netns, self._visited[_key(netns)]) for netns in others if netns not in ended]
        labelled = (visited.labelled(netns) for netns, visited in known)
        seen = [snapshot, *(each for each in labelled if each is not None)]
        gaps = [*self._catalogue.gaps]
        if self._unprivileged is not None:
            more, missing = self._unprivileged.take({each.netns.inode for each in seen})
            seen += more
            gaps += missing
        inodes = {each.netns.inode for each in seen}
        gaps += (
            visited.refusal
            for netns, visited in known
            if visited.refusal is not None and netns.inode not in inodes
        )
        return HostSnapshot(tuple(seen), tuple(gaps))

    def _visit_due(self, others: Sequence[Netns]) -> set[Netns]:
        """Visit those whose time has come; returns what has ended meanwhile, which is no gap."""
        ended = set()
        for netns in self._due(others):
            visited = self._visited[_key(netns)]
            try:
                with self._catalogue.opened(netns) as fd, self._visitor.visit(fd):
                    visited.look(netns)
            except LostError:
                raise
            except NetnsGone:
                ended.add(netns)
            except (KernelError, OSError) as error:
                visited.refuse(_gap(netns, error), self._pass.files(netns.inode or 0))
        return ended

    def _due(self, others: Sequence[Netns]) -> Iterator[Netns]:
        """Those to visit now: what has not been seen for too long, and others as time allows.

        News comes first: hundreds of quiet ones, each in its turn, would take all the time.
        """
        now = time.monotonic()
        waiting: list[tuple[bool, float, Netns]] = []
        for netns in others:
            visited = self._visited[_key(netns)]
            age_s = visited.pace.age_s(now)
            is_news = visited.is_news(self._pass.files(netns.inode or 0))
            if is_news or visited.pace.overdue_s(now) >= 0:
                waiting.append((is_news, age_s, netns))
        waiting.sort(key=lambda each: each[:2], reverse=True)
        until = time.thread_time() + VISITS_CPU_S
        for _, age_s, netns in waiting:
            if age_s >= LONGEST_S or time.thread_time() <= until:
                yield netns

    def _forget_others(self, own: Netns, others: Sequence[Netns]) -> None:
        """Keep what is known of these; begin with those that are new."""
        self._visited = {
            key: self._visited.get(key) or VisitedNetns(self._pass, self._fds.sources)
            for key in map(_key, others)
        }
        inodes = (netns.inode for netns in (own, *others))
        self._pass.forget_others({inode for inode in inodes if inode is not None})


def _key(netns: Netns) -> Key:
    """Tells it from a later one with its inode: where it has no id, by the process in it."""
    return netns.inode, netns.id, netns.pid if netns.id is None else None


def _gap(netns: Netns, error: KernelError | OSError) -> Gap:
    why = error.strerror if isinstance(error, OSError) else str(error)
    is_refused = error.errno in (errno.EPERM, errno.EACCES) and os.geteuid() != 0
    return Gap(
        GapCode.NETNS_UNREAD,
        f"{netns.label} could not be looked into: {why}",
        AS_ROOT if is_refused else None,
    )
