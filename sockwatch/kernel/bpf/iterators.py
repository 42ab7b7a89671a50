"""The iterators, opened once and kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sockwatch.kernel.bpf import loader, snippets
from sockwatch.kernel.bpf.btf_cache import load_layout
from sockwatch.kernel.bpf.counting_iterators import (
    FileSummary,
    HostFileIterator,
    TaskFileIterator,
    TcpIterator,
    TcpSummary,
)
from sockwatch.kernel.bpf.errors import BpfUnavailable
from sockwatch.kernel.bpf.iterator import KernelIterator, ends_tasks
from sockwatch.kernel.bpf.rows import COUNT_FULL, COUNT_MINI, FOLD_CLIENTS, WRITE_FULL, WRITE_MINI
from sockwatch.kernel.bpf.task_program import task_program
from sockwatch.kernel.bpf.task_records import TaskRecords
from sockwatch.kernel.bpf.udp_program import udp_program
from sockwatch.kernel.host import sees_every_process

if TYPE_CHECKING:
    from typing_extensions import Self

    from sockwatch.kernel.bpf.layout import Layout
    from sockwatch.kernel.bpf.rows import Records
    from sockwatch.kernel.proc.proc_stat import ProcessRecord
    from sockwatch.model import PortSet


class SocketIterators:
    """Every socket of this network namespace with its reuse flags, straight from the kernel.

    Opening raises BpfUnavailable if none of the iterators can be opened; if only some cannot, their
    methods raise it. A run shows the network namespace of the calling thread. Several threads may
    call at once: those that share an iterator wait for each other.
    """

    def __init__(self, layout: Layout | None = None, *, entries: int = 1 << 16) -> None:
        loader.check_permitted()
        layout = layout or load_layout()
        self._tcp = TcpIterator(layout, entries)
        self._udp = KernelIterator("udp", layout, udp_program)
        self._task_file = TaskFileIterator(layout, entries)
        self._layout, self._entries = layout, entries
        self._host_files: HostFileIterator | None = None
        self._task: KernelIterator | None = None
        self._task_records = TaskRecords()
        if snippets.pid_levels(layout) == 1 and not sees_every_process():
            self._task_file.fail(
                BpfUnavailable(
                    "pid-namespace",
                    "BPF on this kernel cannot identify the processes of a container",
                    remedy="run on the host, or use Linux 6.6 or later",
                )
            )
        failures = [iterator.failure for iterator in self._all if iterator.failure]
        if len(failures) == len(self._all):
            self.close()
            raise failures[0]

    def udp(self, port: int | None = None) -> Records:
        """A row for each bound UDP socket. Raises BpfUnavailable, KernelError."""
        with self._udp.lock:
            return self._udp.run(port)[0]

    def task_files(self, netns_inode: int | None = None, port: int | None = None) -> Records:
        """A row for each (process, fd) that holds a TCP, UDP or MPTCP socket.

        Those of the network namespace with that number in /proc/PID/ns/net; None = of all within
        our PID namespace. Raises BpfUnavailable, KernelError.
        """
        with self._task_file.lock:
            return self._task_file.run(port, netns_inode=netns_inode or 0)[0]

    def tcp_summary(self, port: int | None = None, *, each_mini: bool = True) -> TcpSummary:
        """TCP sockets with this local port, None = all: mini sockets counted, others a row each.

        One port's mini sockets are rows as well, with `each_mini`. Not there are bound sockets that
        neither listen nor are connected: see task_files(). Raises BpfUnavailable, KernelError.
        """
        write_mini = WRITE_MINI if port and each_mini else 0
        return self._tcp.counted(port, COUNT_MINI | WRITE_FULL | write_mini)

    def connections(self, own_ports: PortSet | None) -> TcpSummary:
        """All TCP sockets counted, but for a row for each listener.

        `own_ports` are those with a listener or bound socket: what belongs to no such port and is
        a client's is counted by destination. None counts every socket by its port. Raises
        BpfUnavailable, KernelError.
        """
        fold = 0 if own_ports is None else FOLD_CLIENTS
        return self._tcp.counted(None, COUNT_MINI | COUNT_FULL | fold, own_ports)

    def holders(self, netns_inode: int, own_ports: PortSet) -> FileSummary:
        """Who holds the sockets of that network namespace, connections counted.

        By their port, or by destination if that is not among `own_ports`. Raises BpfUnavailable,
        KernelError.
        """
        return self._task_file.counted(netns_inode, own_ports)

    def host_holders(self, own_ports: Mapping[int, PortSet]) -> FileSummary:
        """Who holds the sockets of every network namespace, connections counted as by holders().

        `own_ports` are by the namespace's number. The program is loaded at the first call. Raises
        BpfUnavailable, KernelError.
        """
        if failure := self._task_file.failure:
            raise failure
        if self._host_files is None:
            self._host_files = HostFileIterator(self._layout, self._entries)
        return self._host_files.counted(own_ports)

    def tasks(self) -> dict[int, ProcessRecord] | None:
        """What is known of each process, by pid; None where the kernel has no such way.

        Its program is loaded at the first call. Raises KernelError.
        """
        if self._task is None:
            self._task = KernelIterator(
                "task", self._layout, lambda layout, _: task_program(layout)
            )
        if self._task.failure is not None:
            return None
        with self._task.lock:
            return self._task_records.decode(self._task.read(ends_tasks))

    @property
    def failures(self) -> dict[str, BpfUnavailable]:
        """The iterators that could not be opened, and why."""
        return {iterator.name: iterator.failure for iterator in self._all if iterator.failure}

    def close(self) -> None:
        """Close every fd, after the run in progress."""
        for iterator in (*self._all, self._host_files, self._task):
            if iterator is None:
                continue
            with iterator.lock:
                iterator.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _all(self) -> tuple[KernelIterator, ...]:
        return (self._tcp, self._udp, self._task_file)
