"""One iterator of the kernel: each run is one open, some reads and a close."""

from __future__ import annotations

import errno
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sockwatch.kernel.bpf import loader, syscall
from sockwatch.kernel.bpf.assembler import Assembler, AssemblerError, Column
from sockwatch.kernel.bpf.errors import BpfUnavailable
from sockwatch.kernel.bpf.rows import (
    OPTIONS_STRUCT,
    ROW_COLUMNS,
    ROW_STRUCT,
    TASK_COLUMNS,
    TASK_STRUCT,
    Records,
)
from sockwatch.model import KernelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sockwatch.kernel.bpf.layout import Layout

_READ_BYTES = 1 << 16  # the kernel hands out 8 pages at most
_COMPACT_BYTES = 1 << 23
ONLY_KEY = bytes(4)  # of an array map with one value


class KernelIterator:
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
        self.fds: list[int] = []
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
        options = OPTIONS_STRUCT.pack(netns_inode, port or 0, wanted, 0, 0)
        rows = Records(self.read(ends_rows, options))
        return rows[:-1], rows[-1].frees_in_jiffies

    def read(self, is_last: Callable[[bytes], bool], options: bytes = b"") -> bytes:
        """The records of a run, with the closing one, for which `is_last` is true.

        Raises BpfUnavailable, KernelError.
        """
        if self.failure is not None:
            raise self.failure
        if not self.fds:
            raise ValueError("the iterators are closed")
        with self.failing():
            if options:
                syscall.map_update(self._options_fd, ONLY_KEY, options)
            run_fd = syscall.iter_create(self._link_fd)
            try:
                data = _read_all(run_fd, is_last)
            finally:
                os.close(run_fd)
        if not is_last(data):
            raise KernelError(f"the BPF iterator over {self.name} was cut short", errno.EIO)
        return data

    def fail(self, error: BpfUnavailable) -> None:
        """From now on, every run raises `error`."""
        self.close()
        self.failure = error

    def close(self) -> None:
        """Close every fd."""
        while self.fds:
            os.close(self.fds.pop())

    def _open(self, layout: Layout, make_program: Callable[[Layout, int], Assembler]) -> None:
        self._options_fd = self.keep(
            loader.new_map(
                lambda: syscall.map_create(
                    syscall.ARRAY_MAP, 4, OPTIONS_STRUCT.size, 1, "sockwatch_opts"
                )
            )
        )
        function = layout.function(f"bpf_iter_{self.name}")
        code = make_program(layout, self._options_fd).assemble()
        program_fd, link_fd = loader.load_iterator(code, f"sockwatch_{self.name}", function)
        self.keep(program_fd)
        self._link_fd = self.keep(link_fd)

    def keep(self, fd: int) -> int:
        """Close this fd with all others; returns it."""
        self.fds.append(fd)
        return fd

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Make each OSError a KernelError."""
        try:
            yield
        except OSError as error:
            raise KernelError(
                f"the BPF iterator over {self.name} failed: {error.strerror}", error.errno or 0
            ) from error


def ends_rows(data: bytes) -> bool:
    """Whether it ends with the closing record, which is of no family."""
    size, column = ROW_STRUCT.size, ROW_COLUMNS["family"]
    return _column_of_last(data, size, column) == bytes(column.size)


def ends_tasks(data: bytes) -> bool:
    """Whether it ends with the closing record, which is of no process."""
    column = TASK_COLUMNS["pid"]
    return _column_of_last(data, TASK_STRUCT.size, column) == bytes(column.size)


def _column_of_last(data: bytes, size: int, column: Column) -> bytes:
    """The column of the last of the records of `size` bytes; empty if there is none."""
    start = len(data) - size
    whole = start >= 0 and len(data) % size == 0
    return data[start + column.offset :][: column.size] if whole else b""


def _read_all(run_fd: int, is_last: Callable[[bytes], bool]) -> bytes:
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
        if not part or is_last(part):
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
