"""The iterators, opened once and kept: each run is one open, some reads and a close."""

from __future__ import annotations

import errno
import os
import struct
import threading
from typing import TYPE_CHECKING, NamedTuple, Self

from sockwatch.kernel.bpf import loader, programs, snippets, syscall
from sockwatch.kernel.bpf.assembler import Assembler, AssemblerError
from sockwatch.kernel.bpf.btf_cache import load_layout
from sockwatch.kernel.bpf.clock import ticks_per_second
from sockwatch.kernel.bpf.errors import BpfUnavailable
from sockwatch.kernel.bpf.groups import GroupMap, merge_groups
from sockwatch.kernel.bpf.rows import (
    COUNT_MINI,
    OPTIONS_STRUCT,
    ROW_COLUMNS,
    ROW_STRUCT,
    WRITE_FULL,
    WRITE_MINI,
    Records,
    TimeWaitGroup,
)
from sockwatch.kernel.host import sees_every_process
from sockwatch.model import KernelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sockwatch.kernel.bpf.layout import Layout

_READ_BYTES = 1 << 16  # the kernel hands out 8 pages at most
_COMPACT_BYTES = 1 << 23
_ONLY_KEY = bytes(4)
_LAST_FAMILY = ROW_COLUMNS["family"].offset - ROW_STRUCT.size  # of the last record, from the end


class TcpSummary(NamedTuple):
    """One pass over TCP: full and half-open sockets as rows, mini sockets as groups.

    `spilled` counts mini sockets that did not fit into the kernel's map: they are in `rows`, and in
    `groups` like all others.
    """

    rows: Records
    groups: list[TimeWaitGroup]
    spilled: int


class SocketIterators:
    """Every socket of this network namespace with its reuse flags, straight from the kernel.

    Opening raises BpfUnavailable if none of the iterators can be opened; if only some cannot, their
    methods raise it. A run shows the network namespace of the calling thread. Several threads may
    call at once: those that share an iterator wait for each other.
    """

    def __init__(self, layout: Layout | None = None, *, group_entries: int = 1 << 16) -> None:
        loader.check_permitted()
        layout = layout or load_layout()
        self._tcp = _TcpIterator(layout, group_entries)
        self._udp = _Iterator("udp", layout, programs.udp_program)
        self._task_file = _Iterator("task_file", layout, programs.task_file_program)
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

    def tcp_summary(self, port: int | None = None) -> TcpSummary:
        """TCP sockets with this local port, None = all: mini sockets counted, others a row each.

        One port's mini sockets are rows as well. Not there are bound sockets that neither listen
        nor are connected: see task_files(). Raises BpfUnavailable, KernelError.
        """
        return self._tcp.counted(port, COUNT_MINI | WRITE_FULL | (WRITE_MINI if port else 0))

    @property
    def failures(self) -> dict[str, BpfUnavailable]:
        """The iterators that could not be opened, and why."""
        return {iterator.name: iterator.failure for iterator in self._all if iterator.failure}

    def close(self) -> None:
        """Close every fd, after the run in progress."""
        for iterator in self._all:
            with iterator.lock:
                iterator.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _all(self) -> tuple[_Iterator, ...]:
        return (self._tcp, self._udp, self._task_file)


class _Iterator:
    """One kernel iterator with its program, its link and its options.

    Hold `lock` around run(): the options of a run are in a map that all runs share.
    """

    def __init__(
        self, name: str, layout: Layout, make_program: Callable[[Layout, int], Assembler]
    ) -> None:
        self.name = name
        self.lock = threading.Lock()
        self.failure: BpfUnavailable | None = None
        self._options_fd = self._link_fd = -1
        self._fds: list[int] = []
        try:
            self._open(layout, make_program)
        except BpfUnavailable as error:
            self.fail(error)
        except AssemblerError as error:
            message = f"the program {name} does not fit this kernel's structs: {error}"
            self.fail(BpfUnavailable("bad-btf", message))

    def run(
        self, port: int | None, *, wanted: int = 0, netns_inode: int = 0
    ) -> tuple[Records, int]:
        """(the rows, the kernel's jiffies at the end). Raises BpfUnavailable, KernelError."""
        if self.failure is not None:
            raise self.failure
        if not self._fds:
            raise ValueError("the iterators are closed")
        options = OPTIONS_STRUCT.pack(netns_inode, port or 0, wanted)
        try:
            syscall.map_update(self._options_fd, _ONLY_KEY, options)
            run_fd = syscall.iter_create(self._link_fd)
            try:
                data = _read_all(run_fd)
            finally:
                os.close(run_fd)
        except OSError as error:
            raise KernelError(
                f"the BPF iterator over {self.name} failed: {error.strerror}", error.errno or 0
            ) from error
        try:
            rows = Records(data)
            closing = rows[-1]
        except (struct.error, IndexError):
            closing = None
        if closing is None or closing.family:
            raise KernelError(f"the BPF iterator over {self.name} was cut short", errno.EIO)
        return rows[:-1], closing.frees_in_jiffies

    def fail(self, error: BpfUnavailable) -> None:
        """From now on, every run raises `error`."""
        self.close()
        self.failure = error

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.pop())

    def _open(self, layout: Layout, make_program: Callable[[Layout, int], Assembler]) -> None:
        self._options_fd = self._keep(
            loader.new_map(
                lambda: syscall.map_create(
                    syscall.ARRAY_MAP, 4, OPTIONS_STRUCT.size, 1, "sockwatch_opts"
                )
            )
        )
        function = layout.function(f"bpf_iter_{self.name}")
        code = make_program(layout, self._options_fd).assemble()
        program_fd, link_fd = loader.load_iterator(code, f"sockwatch_{self.name}", function)
        self._keep(program_fd)
        self._link_fd = self._keep(link_fd)

    def _keep(self, fd: int) -> int:
        self._fds.append(fd)
        return fd


class _TcpIterator(_Iterator):
    """The iterator over TCP, with the map in which it counts mini sockets."""

    def __init__(self, layout: Layout, group_entries: int) -> None:
        self._groups: GroupMap | None = None

        def make_program(layout: Layout, options_fd: int) -> Assembler:
            self._groups = GroupMap(group_entries)
            self._keep(self._groups.fd)
            return programs.tcp_program(layout, options_fd, self._groups.fd)

        super().__init__("tcp", layout, make_program)

    def counted(self, port: int | None, wanted: int) -> TcpSummary:
        """A run that counts. Raises BpfUnavailable, KernelError."""
        with self.lock:
            # The map is emptied on every way out: what a broken run left must not be counted.
            try:
                rows, now = self.run(port, wanted=wanted)
            finally:
                tallies = self._groups.take() if self._groups and self._fds else []
        spilled = rows.spilled()
        groups = merge_groups(tallies, spilled, now, ticks_per_second())
        return TcpSummary(rows, groups, len(spilled))


def _read_all(run_fd: int) -> bytes:
    """All records up to the closing one.

    One more read would give the rows of a process that was born since, and no closing record.
    """
    data = bytearray()
    compact_at = _COMPACT_BYTES
    while True:
        try:
            part = os.read(run_fd, _READ_BYTES)
        except BlockingIOError:
            continue  # after a million sockets without a row bpf_seq_read() returns EAGAIN
        data += part
        if not part or part[_LAST_FAMILY : _LAST_FAMILY + 1] == b"\0":
            return bytes(data)
        if len(data) > compact_at:
            _drop_repeats(data)
            compact_at = max(_COMPACT_BYTES, 2 * len(data))


def _drop_repeats(data: bytearray) -> None:
    """Leave one of the rows that are the same: thousands of threads can have the same fds."""
    size = ROW_STRUCT.size
    whole = len(data) - len(data) % size
    rows = dict.fromkeys(bytes(data[start : start + size]) for start in range(0, whole, size))
    data[:whole] = b"".join(rows)
