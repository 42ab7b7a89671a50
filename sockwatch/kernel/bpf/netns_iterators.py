"""What the kernel tells of network namespaces: which there are, who is in them, who keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sockwatch.kernel.bpf import loader, syscall
from sockwatch.kernel.bpf.btf_cache import load_layout
from sockwatch.kernel.bpf.iterator import ONLY_KEY, KernelIterator
from sockwatch.kernel.bpf.netns_file_program import KEEPER_STRUCT, netns_file_program
from sockwatch.kernel.bpf.netns_program import (
    ELEMENT_STRUCT,
    MEMBER_STRUCT,
    RING_HEAD_STRUCT,
    netns_program,
    ring_bytes,
)
from sockwatch.model import KernelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sockwatch.kernel.bpf.assembler import Assembler
    from sockwatch.kernel.bpf.layout import Layout

# So many at first: to load a program for 512 namespaces takes 10 ms, for 4,096 50 ms.
FEW: Final = (48, 512)


class KernelNetns(NamedTuple):
    """A network namespace in the kernel's ring. `id` is None before Linux 6.18."""

    inode: int
    id: int | None
    is_initial: bool


class Member(NamedTuple):
    """A process in a namespace or, with `is_thread`, one that has a thread there.

    `started_ns` since boot. `cgroup_id` is that of cgroup v2, 1 for its root.
    """

    started_ns: int
    cgroup_id: int
    netns_inode: int
    pid: int
    is_thread: bool


class NetnsLook(NamedTuple):
    """`is_whole` is whether there were no more namespaces than fit."""

    namespaces: list[KernelNetns]
    members: list[Member]
    is_whole: bool


class Keeper(NamedTuple):
    """An fd of a namespace, not only of a network namespace, or of a socket in network namespace.

    `inode` is the namespace's number.
    """

    inode: int
    pid: int
    fd: int
    is_socket: bool


class NetnsIterators:
    """Opened at their first run; close() them. Raises BpfUnavailable where BPF is not permitted.

    `most` is how many namespaces are listed at most.
    """

    def __init__(self, layout: Layout | None, most: int) -> None:
        loader.check_permitted()
        self._layout = layout or load_layout()
        self._sizes = [number + 1 for number in (*FEW, most)]  # with the head of the ring
        self._ring: _RingIterator | None = None
        self._files: KernelIterator | None = None

    def look(self) -> NetnsLook:
        """Every namespace that has not ended. Raises BpfUnavailable, KernelError."""
        while True:
            if self._ring is None:
                self._ring = _RingIterator(self._layout, self._sizes[0])
            look = self._ring.look()
            if look.is_whole or len(self._sizes) == 1:
                return look
            del self._sizes[0]
            self._ring.close()
            self._ring = None

    def keepers(self) -> list[Keeper]:
        """Fds that keep a namespace; reads every fd. Raises BpfUnavailable, KernelError."""
        if self._files is None:
            self._files = self._open_files(sockets=True)
            if self._files.failure is not None and self._files.failure.reason == "old-kernel":
                self._files = self._open_files(sockets=False)  # before 5.11
        with self._files.lock:
            data = self._files.read(_ends_keepers)
        return [
            Keeper(inode, pid, fd, bool(is_socket))
            for inode, pid, fd, is_socket in KEEPER_STRUCT.iter_unpack(data)
            if pid
        ]

    def _open_files(self, *, sockets: bool) -> KernelIterator:
        def make_program(layout: Layout, _: int) -> Assembler:
            return netns_file_program(layout, sockets=sockets)

        return KernelIterator("task_file", self._layout, make_program)

    def close(self) -> None:
        """Close every fd, after the run in progress."""
        for iterator in (self._ring, self._files):
            if iterator is not None:
                with iterator.lock:
                    iterator.close()


class _RingIterator(KernelIterator):
    """The iterator over processes, with the map into which it writes the kernel's ring."""

    def __init__(self, layout: Layout, most: int) -> None:
        self._ring_fd = -1
        self._bytes = ring_bytes(most)

        def make_program(layout: Layout, _: int) -> Assembler:
            self._ring_fd = self.keep(
                loader.new_map(
                    lambda: syscall.map_create(
                        syscall.ARRAY_MAP, 4, self._bytes, 1, "sockwatch_netns"
                    )
                )
            )
            return netns_program(layout, self._ring_fd, most)

        super().__init__("task", layout, make_program)

    def look(self) -> NetnsLook:
        with self.lock:
            data = self.read(_ends_members)
            with self.failing():
                ring = syscall.map_lookup(self._ring_fd, ONLY_KEY, self._bytes)
        end, is_whole = RING_HEAD_STRUCT.unpack_from(ring)
        elements = ring[RING_HEAD_STRUCT.size : end]
        members = [
            Member(started_ns, cgroup_id, inode, pid, bool(is_thread))
            for started_ns, cgroup_id, inode, pid, is_thread, _ in MEMBER_STRUCT.iter_unpack(data)
            if pid
        ]
        return NetnsLook(list(decode_ring(elements)), members, bool(is_whole))


def decode_ring(elements: bytes) -> Iterator[KernelNetns]:
    """The namespaces that have not ended. Raises KernelError if it is no ring with one head."""
    unpacked = list(ELEMENT_STRUCT.iter_unpack(elements))
    heads = [index for index, (ops, *_) in enumerate(unpacked) if ops]
    if len(heads) > 1:
        raise KernelError("the kernel's list of network namespaces changed while it was read", 0)
    initial = (heads[0] + 1) % len(unpacked) if heads else None
    for index, (ops, identity, inode, references) in enumerate(unpacked):
        if not ops and references:
            yield KernelNetns(inode, identity or None, index == initial)


def _ends_members(data: bytes) -> bool:
    return _ends(data, MEMBER_STRUCT.size)


def _ends_keepers(data: bytes) -> bool:
    return _ends(data, KEEPER_STRUCT.size)


def _ends(data: bytes, size: int) -> bool:
    """Whether the last record is the closing one, which is all zeros."""
    return len(data) % size == 0 and data[-size:] == bytes(size)
