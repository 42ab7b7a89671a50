"""The program attached to the exit of every system call, and the records it writes."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sockwatch.kernel.bpf import loader, syscall
from sockwatch.kernel.bpf.btf_cache import load_layout
from sockwatch.kernel.bpf.errors import BpfUnavailable
from sockwatch.kernel.failures.bursts import Bursts
from sockwatch.kernel.failures.machines import this_machine
from sockwatch.kernel.failures.program import failure_program, has_ancestry
from sockwatch.kernel.failures.ring import RingBuffer
from sockwatch.kernel.failures.rows import FailureRow, RecordError, decode
from sockwatch.kernel.host import sees_every_process

if TYPE_CHECKING:
    from typing_extensions import Self

    from sockwatch.kernel.bpf.layout import Layout

PROGRAM_NAME: Final = "sockwatch_fail"
RING_BYTES: Final = 1 << 20  # over 2,000 failures that wait to be read
_ONLY_KEY = bytes(4)


class FailureTracepoint:
    """Attached from its creation until close(), or until this process exits.

    `descendants_of` is a process of the initial pid namespace: only failures of it and below it are
    seen; None stands for all. Raises BpfUnavailable. Use it from one thread.
    """

    def __init__(
        self,
        layout: Layout | None = None,
        ring_bytes: int = RING_BYTES,
        *,
        descendants_of: int | None = None,
    ) -> None:
        loader.check_permitted()
        machine = this_machine()
        if layout is None:
            with suppress(BpfUnavailable):  # without it, records hold less
                layout = load_layout()
        if descendants_of is not None and not (has_ancestry(layout) and sees_every_process()):
            raise BpfUnavailable("no-btf", "the kernel does not tell who is whose child")
        self.odd_records = 0
        self._ring = RingBuffer(ring_bytes)
        self._fds: list[int] = []
        try:
            self._lost_fd = loader.new_map(
                lambda: syscall.map_create(syscall.ARRAY_MAP, 4, 8, 1, "sockwatch_lost")
            )
            self._fds.append(self._lost_fd)
            self._bursts = Bursts()
            self._fds.append(self._bursts.fd)
            code = failure_program(
                machine,
                layout,
                ring_fd=self._ring.fd,
                lost_fd=self._lost_fd,
                bursts_fd=self._bursts.fd,
                pid_namespace=Path("/proc/self/ns/pid").stat().st_ino,
                descendants_of=descendants_of,
            ).assemble()
            self._fds += loader.load_raw_tracepoint(code, PROGRAM_NAME, "sys_exit")
        except BaseException:
            self.close()
            raise

    @property
    def fd(self) -> int:
        """Readable when there is something to take."""
        return self._ring.fd

    @property
    def lost(self) -> int:
        """How many failures did not fit into the ring."""
        return int.from_bytes(syscall.map_lookup(self._lost_fd, _ONLY_KEY, 8), "little")

    def take(self, most: int) -> list[FailureRow]:
        """The failures since the last time, oldest first, at most so many.

        `repeats` of each counts those like it that were not written since the one before. An
        invalid record is left out and counted in `odd_records`.
        """
        rows: list[FailureRow] = []
        try:
            records = self._ring.take(most)
        except RecordError:
            self.odd_records += 1
            return rows
        for record in records:
            try:
                rows.append(self._bursts.since_the_last(decode(record)))
            except RecordError:
                self.odd_records += 1
        return rows

    def take_repeats(self) -> list[FailureRow]:
        """The last failure of each kind that has failed again since, `repeats` times."""
        return self._bursts.take()

    @property
    def has_bursts(self) -> bool:
        """Whether repeats may have been counted that take_repeats() has not returned yet."""
        return self._bursts.are_recent

    def close(self) -> None:
        """Detach, and close every fd."""
        while self._fds:
            os.close(self._fds.pop())
        self._ring.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
