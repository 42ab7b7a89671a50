"""The socket tables, read from sock_diag and the BPF iterators, each walked once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Final, TypeAlias

from sockwatch.kernel import host
from sockwatch.kernel.bpf.reader import BpfReader, BpfSample
from sockwatch.kernel.sock_diag import dumps
from sockwatch.kernel.sock_diag.inet_diag import ALL_STATES, STATE_BOUND_INACTIVE, STATE_TIME_WAIT
from sockwatch.kernel.sock_diag.row_decoder import RowDecoder
from sockwatch.model import KernelError, Protocol, SocketOptions

BOUND: Final = 1 << STATE_BOUND_INACTIVE

# The decoded dump, or why sock_diag refused it.
Table: TypeAlias = RowDecoder | KernelError


def read_tables(
    bpf: BpfReader | None,
    known: Mapping[int, SocketOptions],
    netns_inode: int,
    port: int | None,
) -> tuple[dict[Protocol, Table], BpfSample | None]:
    """Every port's sockets, or one port's. Raises KernelError where an iterator fails.

    With the iterators there, the kernel counts the TIME_WAITs, and they are dumped only for the
    port that is asked for. `known` are the options of sockets by cookie.
    """

    def dump(protocol: Protocol, states: int, *, count_minis: bool = False) -> Table:
        decoder = RowDecoder(
            protocol,
            host.device_namer(),
            keep_rows=port is not None,
            count_minis=count_minis,
            known=known,
        )
        try:
            dumps.dump(decoder, states, port)
        except KernelError as refusal:
            return refusal
        return decoder

    # To find bound sockets the kernel passes every TIME_WAIT once more, which takes as long as all
    # the rest: another core does it meanwhile.
    with _beside(partial(dump, "tcp", BOUND)) as bound:
        iterators = bpf if bpf is not None and bpf.ready() else None
        states = ALL_STATES & ~BOUND
        if iterators is not None and port is None:
            states &= ~(1 << STATE_TIME_WAIT)
        tcp = dump("tcp", states, count_minis=iterators is None)
        udp = dump("udp", ALL_STATES)
        sample = None
        if iterators is not None:
            cookies = None if port is None else _cookies(tcp)
            sample = iterators.sample(netns_inode, port, host.device_namer(), cookies)
        return {"tcp": _joined(tcp, bound()), "udp": udp}, sample


@contextmanager
def _beside(function: Callable[[], Table]) -> Iterator[Callable[[], Table]]:
    """Run `function` in a thread meanwhile; where none can be started, when it is asked for."""
    with ThreadPoolExecutor(1) as threads:
        try:
            future = threads.submit(function)
        except RuntimeError:  # RLIMIT_NPROC, or pids.max of the cgroup
            future = None
        yield function if future is None else future.result


def inodes(tables: Iterable[Table]) -> Iterator[int]:
    """The inodes of all sockets that have an fd."""
    for table in tables:
        if isinstance(table, RowDecoder):
            yield from (sock.inode for sock in table.sockets if sock.inode)
            for members in table.members.values():
                yield from (member.inode for member in members if member.inode)


def _joined(table: Table, bound: Table) -> Table:
    """One table of two parts, or the first refusal."""
    if isinstance(table, KernelError):
        return table
    if isinstance(bound, KernelError):
        return bound
    table.take_over(bound)
    return table


def _cookies(table: Table) -> set[int] | None:
    """The cookies of all sockets in the table; None where TIME_WAITs were only counted."""
    return None if isinstance(table, KernelError) or table.has_minis else table.cookies()
