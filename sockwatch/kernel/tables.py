"""The socket tables, read from sock_diag and the BPF iterators, each walked once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from sockwatch.kernel import host
from sockwatch.kernel.beside import at_once, beside
from sockwatch.kernel.bpf.reader import BpfReader, BpfSample
from sockwatch.kernel.bpf.unlisted import add_unlisted
from sockwatch.kernel.sock_diag import dumps
from sockwatch.kernel.sock_diag.client_ports import ClientPorts
from sockwatch.kernel.sock_diag.connections import ConnectionTally
from sockwatch.kernel.sock_diag.inet_diag import (
    ALL_STATES,
    STATE_BOUND_INACTIVE,
    STATE_FIN_WAIT2,
    STATE_LISTEN,
    STATE_TIME_WAIT,
)
from sockwatch.kernel.sock_diag.kept_rows import KeptRows
from sockwatch.kernel.sock_diag.row_decoder import RowDecoder
from sockwatch.kernel.visit import Visit
from sockwatch.model import KernelError, Protocol, Socket, SocketOptions

if TYPE_CHECKING:
    import socket

LISTEN: Final = 1 << STATE_LISTEN
BOUND: Final = 1 << STATE_BOUND_INACTIVE
MINIS: Final = 1 << STATE_TIME_WAIT | 1 << STATE_FIN_WAIT2
MANY: Final = 1000  # TCP sockets above which no flags of connections are read one by one

# The decoded dump, or why sock_diag refused it.
Table: TypeAlias = RowDecoder | KernelError


def read_tables(
    bpf: BpfReader | None,
    known: Mapping[int, SocketOptions],
    netns_inode: int,
    port: int | None,
    kept: KeptRows,
    *,
    fold: tuple[int, int] | None,
    visit: Visit | None = None,
) -> tuple[dict[Protocol, Table], BpfSample | None]:
    """Every port's sockets, or one port's. Raises KernelError where an iterator fails.

    With the iterators there, the kernel counts all TCP sockets but the listeners and bound ones, if
    no port is asked for. Those of client ports are counted by destination, unless `fold` is None;
    it is ip_local_port_range, by which they are told where there is no iterator. `known` are the
    options of sockets by cookie, `kept` the servers of an earlier look. A `visit` raises what
    sock_diag refuses too.
    """

    def dump(
        protocol: Protocol,
        *states: int,
        count_all: bool = False,
        count_minis: bool = True,
        diag: socket.socket | None = visit and visit.diag,
    ) -> Table:
        is_folded = count_all and fold is not None and port is None
        clients = ClientPorts(fold) if is_folded and fold is not None else None
        is_many = count_all and port is None and host.tcp_sockets() > MANY
        decoder = RowDecoder(
            protocol,
            host.device_namer(),
            keep_rows=port is not None,
            count_minis=count_minis and (count_all or protocol == "udp"),
            known=known,
            clients=clients,
            tally=ConnectionTally(clients) if is_many else None,
            kept=kept,
            only_servers=not count_all,
        )
        try:
            for some in states if visit is None or _may_show(visit, protocol, states) else ():
                dumps.dump(decoder, some, port, diag)
        except KernelError as refusal:
            if visit is not None:
                raise
            return refusal
        return decoder

    iterators = bpf if bpf is not None and bpf.ready() else None
    # To find bound sockets the kernel passes every TIME_WAIT once more, which takes as long as all
    # the rest: another core does it meanwhile.
    meanwhile = beside if visit is None else at_once
    with (
        dumps.opened() if visit is None else nullcontext(visit.diag) as diag,
        meanwhile(partial(dump, "tcp", BOUND)) as bound,
    ):
        sample = None
        if iterators is None:
            full = ALL_STATES & ~LISTEN & ~BOUND & ~MINIS
            # Rows of one length come faster: those of TIME_WAITs in a dump of their own.
            tcp, udp = dump("tcp", LISTEN, full, MINIS, count_all=True), dump("udp", ALL_STATES)
        elif port is None and not iterators.tells_holders:
            # What the kernel counts could be traced to no process.
            connected = ALL_STATES & ~LISTEN & ~BOUND & ~(1 << STATE_TIME_WAIT)
            tcp = dump("tcp", LISTEN, connected, count_all=True, count_minis=False)
            udp = dump("udp", ALL_STATES)
            sample = iterators.sample_flags()
        elif port is None:
            is_folded = fold is not None
            with iterators.holders(netns_inode, fold=is_folded) as holders:
                tcp, udp = dump("tcp", LISTEN, diag=diag), dump("udp", ALL_STATES, diag=diag)
                sample = iterators.sample_all(
                    netns_inode,
                    _ports(tcp),
                    lambda: _ports(bound()),
                    holders,
                    fold=is_folded,
                    only_servers=visit is not None and visit.has_only(servers_of(tcp)),
                )
        else:
            tcp = dump("tcp", LISTEN, ALL_STATES & ~LISTEN & ~BOUND)
            udp = dump("udp", ALL_STATES)
            sample = iterators.sample(netns_inode, port, _cookies(tcp))
        tcp = _joined(tcp, bound())
        if sample is not None and isinstance(tcp, RowDecoder):
            add_unlisted(tcp, sample.unlisted, port)
        return {"tcp": tcp, "udp": udp}, sample


def _may_show(visit: Visit, protocol: Protocol, states: tuple[int, ...]) -> bool:
    if protocol == "udp":
        return visit.udp
    return visit.bound if states == (BOUND,) else visit.tcp


def _ports(table: Table) -> set[int]:
    return {sock.port for sock in servers_of(table)}


def tally_of(table: Table) -> ConnectionTally | None:
    """Where the connections of a table were counted; None where each is one of its members."""
    return table.tally if isinstance(table, RowDecoder) else None


def servers_of(table: Table) -> list[Socket]:
    """The listeners, bound and unconnected UDP sockets of a table."""
    return table.sockets if isinstance(table, RowDecoder) else []


def inodes(tables: Iterable[Table]) -> Iterator[int]:
    """The inodes of all sockets that have an fd, but for those that were only counted."""
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
