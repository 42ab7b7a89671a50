"""The kernel's ring buffer map, read through shared memory.

Layout: kernel/bpf/ringbuf.c and Documentation/bpf/ringbuf.rst. A page with the consumer's position,
a page with the producer's, then the data twice in a row, so that no record is ever cut in two.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading

from sockwatch.kernel.bpf import loader, syscall
from sockwatch.kernel.failures.rows import RecordError

_HEADER = struct.Struct("<I4x")
_BUSY, _DISCARDED = 1 << 31, 1 << 30
_LENGTH_MASK = _DISCARDED - 1


class RingBuffer:
    """A new ring of `size` bytes, a power of two and whole pages.

    `fd` is for the program and for epoll. Raises BpfUnavailable.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.fd = loader.new_map(
            lambda: syscall.map_create(syscall.RING_MAP, 0, 0, size, "sockwatch_ring")
        )
        try:
            page = mmap.PAGESIZE
            self._consumer = mmap.mmap(self.fd, page)
            self._producer = mmap.mmap(self.fd, page + 2 * size, prot=mmap.PROT_READ, offset=page)
        except OSError as error:
            os.close(self.fd)
            raise loader.explain(error) from error
        # Whole words, so that no position is read or written in halves.
        self._read_position = memoryview(self._consumer).cast("Q")
        self._written_position = memoryview(self._producer).cast("Q")
        self._data = memoryview(self._producer)[page:]
        self._barrier = threading.Lock()

    def take(self, most: int) -> list[bytes]:
        """The next records, oldest first, at most so many; their room is the kernel's again.

        Raises RecordError if the ring's contents are invalid; they are then discarded.
        """
        start, end = self._read_position[0], self._written_position[0]
        with self._barrier:  # the data must be read after the position
            try:
                records, stop = records_between(self._data, start, end, most)
            except RecordError:
                stop = end
                raise
            finally:
                self._read_position[0] = stop
        return records

    def close(self) -> None:
        """Unmap and close."""
        for view in (self._data, self._read_position, self._written_position):
            view.release()
        self._consumer.close()
        self._producer.close()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def records_between(data: memoryview, start: int, end: int, most: int) -> tuple[list[bytes], int]:
    """(finished records from `start` on, where the rest begins).

    `data` is the ring twice in a row; the positions count all bytes ever written.
    Raises RecordError.
    """
    size = len(data) // 2
    if not 0 <= end - start <= size or start % 8:
        raise RecordError(f"invalid positions of the ring buffer: {start}, {end}")
    records: list[bytes] = []
    while start < end and len(records) < most:
        at = start % size
        (head,) = _HEADER.unpack_from(data, at)
        if head & _BUSY:
            break
        length = head & _LENGTH_MASK
        following = start + (_HEADER.size + length + 7 & ~7)
        if following > end:
            raise RecordError(f"a record of {length} bytes does not fit the ring buffer")
        if not head & _DISCARDED:
            records.append(bytes(data[at + _HEADER.size : at + _HEADER.size + length]))
        start = following
    return records, start
