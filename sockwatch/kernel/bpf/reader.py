"""What the BPF iterators add to a snapshot: every socket's flags, counts, holders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from sockwatch.kept import Kept
from sockwatch.kernel import host
from sockwatch.kernel.beside import at_once, beside
from sockwatch.kernel.bpf.flags import OPTIONS_OF_BYTE
from sockwatch.kernel.bpf.rows import WITH_FD, differ_in_flags
from sockwatch.kernel.proc.holders import HoldersByInode
from sockwatch.model import EVERY_PORT, NO_PORTS, Holder, KernelError, PortSet, SocketOptions

if TYPE_CHECKING:
    from sockwatch.kernel.bpf.counting_iterators import FileSummary, TcpSummary
    from sockwatch.kernel.bpf.iterators import SocketIterators
    from sockwatch.kernel.bpf.rows import HolderCount, Records, SocketCount, SocketRow
    from sockwatch.kernel.proc.proc_stat import ProcessRecord

# With fewer, the first sample would wait longer for iter/task to be loaded than for /proc.
MANY_HOLDERS: Final = 200
MISSES: Final = 3  # failed samples in a row after which no more are taken


class BpfSample(NamedTuple):
    """What one run of the iterators shows. `holders` is None if their iterator is unavailable.

    `options` are by cookie; `by_inode` holds them for MPTCP sockets, whose subflows have cookies of
    their own. `counts` are the sockets that were counted: mini sockets, and in a sample of all
    ports connections too. `spilled` sockets did not fit into the kernel's map.
    `unlisted` are rows of bound TCP sockets, where sock_diag may not list those.
    `tasks` are the processes by pid; None where they were not asked for: the first sample does so
    where many processes hold sockets.
    """

    options: dict[int, SocketOptions]
    by_inode: dict[int, SocketOptions]
    holders: dict[int, tuple[Holder, ...]] | None
    counts: list[SocketCount]
    holder_counts: list[HolderCount]
    client_ports: PortSet
    spilled: int
    unlisted: tuple[SocketRow, ...] = ()
    tasks: dict[int, ProcessRecord] | None = None


class Holders(NamedTuple):
    """Who holds the sockets, to be had from `found`, told apart by the port for those in `ports`.

    Both are None where nothing has begun.
    """

    ports: PortSet | None
    found: Callable[[], FileSummary] | None


class BpfReader:
    """Opens the iterators when they are first needed, and remembers if they are unavailable."""

    def __init__(self, shared: Callable[[], SocketIterators] | None = None) -> None:
        """`shared` gives iterators that answer from what was read already; it raises as they do."""
        self._shared = shared
        self._iterators: SocketIterators | None = None
        self.failure: str | None = None
        self.shortfall: str | None = None  # why one of the iterators is missing
        self.remedy: str | None = None
        self.log = ""
        # A quiet host's rows are equal look after look.
        self._held: Kept[[Records], _Files] = Kept(_files)
        self._misses = 0
        self._missed: str | None = None
        self._has_sampled = False
        self._bound: set[int] = set()  # TCP ports with a bound socket in the last sample
        self._unlisted: set[int] = set()  # those that sock_diag does not list
        # All that are no client's, of the last sample that told those apart.
        self._servers: PortSet | None = None

    @property
    def missing(self) -> str | None:
        """Why the last sample is incomplete or missing; None if it is complete."""
        return self.failure or self._missed or self.shortfall

    @property
    def will_open(self) -> bool:
        """Whether ready() has yet to open the iterators, and so needs file descriptors."""
        return self._iterators is None and self.failure is None

    def ready(self) -> bool:
        """Whether the iterators can be used."""
        if self.will_open:
            # Here, since most users may not use it and it takes time to import.
            from sockwatch.kernel.bpf.errors import BpfUnavailable  # noqa: PLC0415
            from sockwatch.kernel.bpf.iterators import SocketIterators  # noqa: PLC0415

            try:
                self._iterators = SocketIterators() if self._shared is None else self._shared()
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

    def sample(self, netns_inode: int, port: int, cookies: set[int] | None = None) -> BpfSample:
        """Sample one port in the network namespace of this thread, whose inode is `netns_inode`.

        `cookies` are those of all wanted TCP sockets, if there is no TIME_WAIT among them: the walk
        over the TCP table is skipped if each of them has an fd. Call this after the netlink dump,
        which is what gives a socket its cookie. Raises KernelError.
        """
        iterators = self._opened()
        files = iterators.task_files(netns_inode, port) if self.tells_holders else None
        flags = {} if files is None else files.flags_by_cookie()
        summary = None
        if cookies is None or not cookies <= flags.keys():
            # 100,000 TIME_WAITs are not asked for one by one, unless those alike differ in flags.
            summary = iterators.tcp_summary(port, each_mini=False)
            if differ_in_flags(summary.counts):
                summary = iterators.tcp_summary(port)
        return self._sample(files, summary, port)

    @property
    def tells_holders(self) -> bool:
        """Whether the iterator over all fds is there: since Linux 5.11, in our pid namespace."""
        return "task_file" not in self._opened().failures

    def sample_flags(self) -> BpfSample:
        """Sample the flags of all sockets in the network namespace of this thread.

        Mini sockets are counted, no others. Call this after the netlink dump. Raises KernelError.
        """
        return self._sample(None, self._opened().tcp_summary(), None)

    @contextmanager
    def holders(self, netns_inode: int, *, fold: bool) -> Iterator[Holders]:
        """What sample_all() needs of the holders: the longest part, so that it begins meanwhile.

        For the ports that were servers' in the last sample, if there was one.
        """
        iterators = self._opened()
        ports = self._servers if fold else EVERY_PORT
        if ports is None or not self.tells_holders:
            yield Holders(None, None)
            return
        meanwhile = beside if self._shared is None else at_once
        with meanwhile(lambda: iterators.holders(netns_inode, ports)) as held:
            yield Holders(ports, held)

    def servers_again(self, netns_inode: int) -> Records:
        """The servers in the network namespace of this thread that have an fd now.

        Raises KernelError, BpfUnavailable.
        """
        ports = EVERY_PORT if self._servers is None else self._servers
        return self._opened().holders(netns_inode, ports).rows

    def sample_all(
        self,
        netns_inode: int,
        listening: set[int],
        bound: Callable[[], set[int]],
        holders: Holders,
        *,
        fold: bool,
        only_servers: bool = False,
    ) -> BpfSample:
        """Sample every port in the network namespace of this thread; connections are counted.

        With `fold`, those of client ports by destination. `listening` are the TCP ports with a
        listener; `bound` tells those with a bound socket, and is called after the samples. With
        `only_servers` there are no connections, and none are looked for. Raises KernelError.
        """
        iterators = self._opened()

        def connections() -> TcpSummary | None:
            if only_servers:
                return None
            return iterators.connections(PortSet.of(listening | self._bound) if fold else None)

        summary = connections()
        others: set[int] = set()
        if fold:
            self._bound = bound() | self._unlisted
            if summary and any(number in summary.client_ports for number in self._bound):
                # A socket was bound there after the last sample.
                summary = connections()
            others = {
                count.port
                for count in (summary.counts if summary else ())
                if not count.is_client and count.kind == WITH_FD and count.port not in listening
            }
        servers = PortSet.of(listening | self._bound | others) if fold else EVERY_PORT
        self._servers = servers if fold else None
        files: FileSummary | None = None
        if holders.found is not None and holders.ports == servers:
            files = holders.found()
        elif self.tells_holders:
            files = iterators.holders(netns_inode, servers)
        sample = self._sample(files and files.rows, summary, None)
        self._unlisted = {row.port for row in sample.unlisted}
        sample = sample._replace(holder_counts=files.counts if files else [])
        if self._has_sampled or _processes(sample) > MANY_HOLDERS:
            sample = sample._replace(tasks=iterators.tasks())
        self._has_sampled = True
        return sample

    def _opened(self) -> SocketIterators:
        if self._iterators is None:
            raise KernelError("the BPF iterators are not open", 0)
        return self._iterators

    def _sample(
        self, files: Records | None, summary: TcpSummary | None, port: int | None
    ) -> BpfSample:
        iterators = self._opened()
        self._held.renew()
        held = None if files is None else self._held.of(port, files)
        flags_by_cookie: dict[int, int] = {}
        if summary is not None:
            flags_by_cookie |= summary.rows.flags_by_cookie()
        if "udp" not in iterators.failures:
            flags_by_cookie |= iterators.udp(port).flags_by_cookie()
        options = {cookie: OPTIONS_OF_BYTE[byte] for cookie, byte in flags_by_cookie.items()}
        self._misses, self._missed = 0, None
        return BpfSample(
            options=options if held is None else held.options | options,
            by_inode={} if held is None else held.by_inode,
            holders=None if held is None else held.holders,
            counts=summary.counts if summary is not None else [],
            holder_counts=[],
            client_ports=summary.client_ports if summary is not None else NO_PORTS,
            spilled=summary.spilled if summary is not None else 0,
            unlisted=() if held is None or host.lists_bound_sockets() else held.bound,
        )


class _Files(NamedTuple):
    """What the rows of a run over all fds tell: options by cookie and by inode, holders, bound."""

    options: dict[int, SocketOptions]
    by_inode: dict[int, SocketOptions]
    holders: dict[int, tuple[Holder, ...]]
    bound: tuple[SocketRow, ...]


def _files(rows: Records) -> _Files:
    holders = HoldersByInode()
    for inode, pid, fd in rows.fds():
        if inode:
            holders.add(inode, pid, fd)
    return _Files(
        {cookie: OPTIONS_OF_BYTE[byte] for cookie, byte in rows.flags_by_cookie().items()},
        {inode: OPTIONS_OF_BYTE[byte] for inode, byte in rows.flags_by_inode().items()},
        holders.holders(),
        tuple(rows.bound()),
    )


def _processes(sample: BpfSample) -> int:
    """How many processes hold a socket of the sample."""
    holders = chain.from_iterable((sample.holders or {}).values())
    return len({holder.pid for holder in holders} | {count.pid for count in sample.holder_counts})
