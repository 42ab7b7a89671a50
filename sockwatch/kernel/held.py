"""Who holds the sockets of a poll, from the best source that there is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from sockwatch.kept import Kept
from sockwatch.kernel.bpf.owners import Holders, held_by
from sockwatch.kernel.bpf.reader import BpfSample
from sockwatch.kernel.leftovers import Leftovers
from sockwatch.kernel.proc import holders
from sockwatch.kernel.proc.context import with_context
from sockwatch.kernel.proc.fd_tables import FdTables
from sockwatch.kernel.proc.proc_stat import ProcessRecord
from sockwatch.kernel.proc.processes import ProcessNames
from sockwatch.kernel.sock_diag.connections import ConnectionTally
from sockwatch.kernel.tables import Table, inodes, servers_of, tally_of
from sockwatch.model import Holder, Process

if TYPE_CHECKING:
    from sockwatch.kernel.bpf.rows import Records

HoldersByInode: TypeAlias = Mapping[int, tuple[Holder, ...]]
Processes: TypeAlias = Mapping[int, Process]  # by pid


class Held(NamedTuple):
    """`by_inode` are the holders of single sockets, the others those of counted connections.

    `groups` are by the number of a ConnectionTally, `counted` those that iter/task_file found.
    `unreadable` processes hid their fds.
    """

    by_inode: HoldersByInode
    groups: Mapping[int, tuple[Holder, ...]]
    counted: Holders
    unreadable: int


class FdSources(NamedTuple):
    """Who has an fd of a socket: of each, of one that BPF did not find, or of very many."""

    scan: Callable[[Iterable[int]], holders.HolderScan]
    leftovers: Leftovers
    tables: FdTables


def own_fd_sources(pass_again: Callable[[], Records]) -> FdSources:
    """Those of one finder alone; `pass_again` is that of Leftovers."""
    return FdSources(holders.scan, Leftovers(pass_again), FdTables())


class HolderFinder:
    """Finds holders, and remembers what it has read of processes. Use it from one thread."""

    def __init__(self, fds: FdSources) -> None:
        self.names = ProcessNames()
        self._fds = fds
        self._identified: Kept[[Mapping[int, Iterable[Holder]], Processes], HoldersByInode] = Kept(
            _identified
        )

    def find(
        self, tables: Iterable[Table], sample: BpfSample | None, *, context: bool = False
    ) -> Held:
        """The holders of the sockets in the dumps and in the sample; with their `context` if asked.

        That is where they run and who started them, see Process.
        """
        tables = tuple(tables)
        tally = next(filter(None, map(tally_of, tables)), None)
        groups: Mapping[int, Iterable[Holder]] = {}
        if tally is not None:
            by_inode, groups, unreadable = self._by_fd_tables(set(inodes(tables)), tally)
        elif sample is None or sample.holders is None:
            by_inode, unreadable = self._fds.scan(inodes(tables))
        else:
            by_inode, unreadable = self._by_sample(tables, sample.holders)
        counts, sockets = (sample.holder_counts, sample.counts) if sample is not None else ([], [])
        pids = {holder.pid for found in (by_inode, groups) for h in found.values() for holder in h}
        pids |= {count.pid for count in counts}
        seen = sample.tasks if sample is not None else None
        processes = self._processes(pids, seen, context=context)
        self._identified.renew()
        return Held(
            self._identified.of("by inode", by_inode, processes),
            self._identified.of("by group", groups, processes),
            held_by(counts, sockets, lambda holder: _with_process(holder, processes)),
            unreadable,
        )

    def _by_fd_tables(
        self, single: set[int], tally: ConnectionTally
    ) -> tuple[Mapping[int, Iterable[Holder]], Mapping[int, Iterable[Holder]], int]:
        tables = self._fds.tables
        tables.update(single | tally.inodes)
        groups = tables.holders_of_groups(tally.group_of)
        return tables.holders(single), groups, tables.unreadable

    def _by_sample(
        self, tables: Iterable[Table], seen: Mapping[int, tuple[Holder, ...]]
    ) -> tuple[Mapping[int, Iterable[Holder]], int]:
        by_inode = {inode: seen[inode] for inode in seen.keys() & set(inodes(tables))}
        # A connection that is missing has closed since the dump: the next poll will tell.
        servers = {sock.inode for table in tables for sock in servers_of(table) if sock.inode}
        rest, unreadable = self._fds.leftovers.scan(servers - by_inode.keys())
        return by_inode | rest, unreadable

    def _processes(
        self, pids: set[int], seen: Mapping[int, ProcessRecord] | None, *, context: bool
    ) -> Processes:
        """Those that have not exited, by pid."""
        self.names.forget_others(pids)
        processes = self.names.identify_all(pids, seen)
        if context:
            return {process.pid: process for process in with_context(processes.values())}
        return processes


def _identified(found: Mapping[int, Iterable[Holder]], processes: Processes) -> HoldersByInode:
    """The holders with their processes, without those that have exited since."""
    identified = {}
    for key, entries in found.items():
        holders = (_with_process(holder, processes) for holder in entries)
        if visible := tuple(filter(None, holders)):
            identified[key] = visible
    return identified


def _with_process(holder: Holder, processes: Processes) -> Holder | None:
    process = processes.get(holder.pid)
    return None if process is None else Holder(holder.pid, holder.fd, process)
