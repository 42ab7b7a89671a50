"""The BPF iterators for looks at many network namespaces: one pass over all fds serves them all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast

from sockwatch.kernel.bpf.counting_iterators import MOST_OWN_PORTS, FileSummary
from sockwatch.kernel.bpf.errors import BpfUnavailable
from sockwatch.kernel.bpf.reader import MISSES
from sockwatch.kernel.bpf.rows import Records
from sockwatch.kernel.sockstat import SocketCounts
from sockwatch.model import NO_PORTS, KernelError, PortSet

if TYPE_CHECKING:
    from sockwatch.kernel.bpf.counting_iterators import TcpSummary
    from sockwatch.kernel.bpf.iterators import SocketIterators
    from sockwatch.kernel.bpf.rows import HolderCount
    from sockwatch.kernel.proc.proc_stat import ProcessRecord

NO_FILES: Final = FileSummary(Records(b""), [])


class OnePass:
    """What iter/task_file and iter/task have shown of the whole host in this look.

    Network namespaces are told by their number in /proc/PID/ns/net. Use it from one thread.
    """

    def __init__(self) -> None:
        self._iterators: SocketIterators | None = None
        self._failure: BpfUnavailable | None = None
        # The ports that are no client's, of those that were looked into.
        self._own_ports: dict[int, PortSet] = {}
        self._wanted: dict[int, PortSet] = {}  # these, at the last pass
        self._told_apart: dict[int, PortSet] = {}  # those of them that it has told apart
        self._files: dict[int, FileSummary] = {}
        self._tasks: dict[int, ProcessRecord] | None = None
        self._has_passed = False
        self._misses = 0

    def begin(self) -> None:
        """Begin a look. It is no error if BPF may not be used: has_passed tells."""
        self._files, self._tasks, self._has_passed = {}, None, False
        iterators = self._opened()
        if iterators is None or "task_file" in iterators.failures or self._misses == MISSES:
            return
        try:
            self._pass(iterators)
            if self._found_servers():
                self._pass(iterators)
            self._tasks = iterators.tasks()
            self._misses = 0
        except (KernelError, BpfUnavailable):
            # Each namespace asks for itself then, and says so if that fails too.
            self._files, self._tasks, self._has_passed = {}, None, False
            self._misses += 1
            self.close()

    @property
    def has_passed(self) -> bool:
        """Whether begin() has seen the sockets of all namespaces that a process here holds."""
        return self._has_passed

    def files(self, netns_inode: int) -> FileSummary:
        """The sockets of a namespace that have an fd; none where nobody has passed."""
        return self._files.get(netns_inode, NO_FILES)

    def forget_others(self, netns_inodes: set[int]) -> None:
        """Drop what is remembered of namespaces that have ended."""
        for netns_inode in self._own_ports.keys() - netns_inodes:
            del self._own_ports[netns_inode]

    def holders(self, netns_inode: int, own_ports: PortSet) -> FileSummary:
        """As SocketIterators.holders(), by the pass if that has told the same ports apart."""
        files = self.files(netns_inode)
        is_known = self._told_apart.get(netns_inode, NO_PORTS) == own_ports
        self._own_ports[netns_inode] = own_ports
        if self._has_passed and (is_known or not files.counts):
            return files
        return self.opened().holders(netns_inode, own_ports)

    def servers_again(self) -> Records:
        """The servers of all namespaces that have an fd now. Raises KernelError, BpfUnavailable."""
        return self.opened().host_holders(self._told_apart).rows

    def tasks(self) -> dict[int, ProcessRecord] | None:
        """As SocketIterators.tasks()."""
        return self._tasks if self._has_passed else self.opened().tasks()

    def opened(self) -> SocketIterators:
        """The iterators. Raises BpfUnavailable."""
        iterators = self._opened()
        if iterators is None:
            assert self._failure is not None
            raise self._failure.with_traceback(None)
        return iterators

    def close(self) -> None:
        """Close every fd; begin() opens them again."""
        if self._iterators is not None:
            self._iterators.close()
            self._iterators = None

    def _opened(self) -> SocketIterators | None:
        if self._iterators is None and self._failure is None:
            # Here, since most users may not use it and it takes time to import.
            from sockwatch.kernel.bpf.iterators import SocketIterators  # noqa: PLC0415

            try:
                self._iterators = SocketIterators()
            except BpfUnavailable as error:
                self._failure = error
        return self._iterators

    def _pass(self, iterators: SocketIterators) -> None:
        if self._wanted != self._own_ports:
            self._wanted = dict(self._own_ports)
            self._told_apart = _that_fit(self._wanted)
        summary = iterators.host_holders(self._told_apart)
        counts: defaultdict[int, list[HolderCount]] = defaultdict(list)
        for count in summary.counts:
            counts[count.netns_inode].append(count)
        rows = summary.rows.by_netns()
        self._files = {
            netns_inode: FileSummary(rows.get(netns_inode, Records(b"")), counts[netns_inode])
            for netns_inode in rows.keys() | counts.keys()
        }
        self._has_passed = True

    def _found_servers(self) -> bool:
        """Whether the pass took ports for clients' that have a server; they are known from now."""
        found = False
        for netns_inode, files in self._files.items():
            if files.counts:
                known = self._own_ports.get(netns_inode, NO_PORTS)
                listening, bound = files.rows.own_ports()
                if any(port not in known for port in listening | bound):
                    self._own_ports[netns_inode] = PortSet.of({*known, *listening, *bound})
                    found = True
        return found


def _that_fit(own_ports: Mapping[int, PortSet]) -> dict[int, PortSet]:
    """Those for which the kernel's map has room; the others, with the most, ask for themselves."""
    fitting: dict[int, PortSet] = {}
    room = MOST_OWN_PORTS
    for netns_inode, ports in sorted(own_ports.items(), key=lambda item: len(item[1])):
        room -= len(ports)
        if room < 0:
            break
        fitting[netns_inode] = ports
    return fitting


class NetnsIterators:
    """The iterators as one namespace has them: of the sockets in it, for its BpfReader.

    `counts` are those of the kernel in this visit: an empty table is not walked.
    """

    def __init__(self, one_pass: OnePass) -> None:
        self._pass = one_pass
        self.counts: SocketCounts | None = None

    def shared(self) -> SocketIterators:
        """Itself, as far as BpfReader looks at all ports. Raises BpfUnavailable."""
        self._pass.opened()
        return cast("SocketIterators", self)

    @property
    def failures(self) -> dict[str, BpfUnavailable]:
        """As SocketIterators.failures."""
        return self._opened().failures

    def holders(self, netns_inode: int, own_ports: PortSet) -> FileSummary:
        """As SocketIterators.holders()."""
        return self._pass.holders(netns_inode, own_ports)

    def tasks(self) -> dict[int, ProcessRecord] | None:
        """As SocketIterators.tasks()."""
        return self._pass.tasks()

    def connections(self, own_ports: PortSet | None) -> TcpSummary:
        """As SocketIterators.connections()."""
        return self._opened().connections(own_ports)

    def udp(self, port: int | None = None) -> Records:
        """As SocketIterators.udp()."""
        if self.counts is not None and not self.counts.udp:
            return Records(b"")
        return self._opened().udp(port)

    def close(self) -> None:
        """The iterators stay open for the other namespaces."""

    def _opened(self) -> SocketIterators:
        """Raises KernelError: a pass that failed has closed them, and they did not open again."""
        try:
            return self._pass.opened()
        except BpfUnavailable as error:
            raise KernelError(str(error), error.errno or 0) from error
