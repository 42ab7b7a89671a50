"""In which other network namespaces a port is taken too: by a listener, or a bound socket."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from sockwatch.kernel.netns.catalogue import NetnsCatalogue
from sockwatch.kernel.netns.reader import NetnsReader
from sockwatch.kernel.sock_diag import dumps
from sockwatch.kernel.sock_diag.inet_diag import STATE_BOUND_INACTIVE, STATE_LISTEN
from sockwatch.kernel.sock_diag.row_decoder import RowDecoder
from sockwatch.kernel.sockstat import read_sockstat
from sockwatch.model import KernelError, Netns, Protocol
from sockwatch.model.errors import SHORTAGES

LIMIT_S: Final = 0.05  # of processor time: a busy host is no reason to see less
MOST_NAMESPACES: Final = 200

PortKey: TypeAlias = tuple[Protocol, int]


class Elsewhere(NamedTuple):
    """What was found.

    `found` has the namespaces of each port that is taken in another one. `namespaces` are all that
    there are, as far as we see, our own first. `unsearched` is how many of them were not reached in
    time, `half_searched` how many were searched for servers that listen, and for no others.
    `entered` is how many could be entered.
    """

    found: dict[PortKey, list[Netns]]
    namespaces: Sequence[Netns]
    unsearched: int
    half_searched: int
    entered: int


def search(wanted: Collection[PortKey]) -> Elsewhere:
    """Look for the ports in every other namespace that may be entered.

    That takes LIMIT_S and MOST_NAMESPACES at most, beside what it takes to list them. Raises
    KernelError or OSError where we cannot visit any.
    """
    with NetnsCatalogue() as catalogue:
        return _search(wanted, catalogue)


def _search(wanted: Collection[PortKey], catalogue: NetnsCatalogue) -> Elsewhere:
    namespaces = catalogue.namespaces()
    others = namespaces[1:]
    found: dict[PortKey, list[Netns]] = {}
    tcp, udp = ({number for each, number in wanted if each == name} for name in ("tcp", "udp"))
    if not others:
        return Elsewhere(found, namespaces, 0, 0, 0)
    until = time.process_time() + LIMIT_S
    reader = NetnsReader(catalogue)
    try:
        # The kernel walks some hundred buckets for listeners, and 65,536 for bound sockets.
        listening = partial(_taken_here, tcp, udp, 1 << STATE_LISTEN)
        bound = partial(_taken_here, tcp, (), 1 << STATE_BOUND_INACTIVE)
        entered, missed = _visit(reader, others[:MOST_NAMESPACES], listening, found, until)
        half = _visit(reader, entered, bound, found, until)[1] if tcp else 0
    finally:
        reader.close()
    beyond = len(others[MOST_NAMESPACES:])
    return Elsewhere(found, namespaces, missed + beyond, half, len(entered))


def _visit(
    reader: NetnsReader,
    namespaces: Sequence[Netns],
    look: Callable[[], set[PortKey]],
    found: dict[PortKey, list[Netns]],
    until: float,
) -> tuple[list[Netns], int]:
    """Add what is seen in each; returns which could be entered, and how many there was no time for.

    One that may not be entered, or is gone, is left out.
    """
    entered: list[Netns] = []
    for index, netns in enumerate(namespaces):
        if time.process_time() > until:
            return entered, len(namespaces) - index
        if netns.inode is None:
            continue
        try:
            taken = reader.run(netns.inode, () if netns.pid is None else (netns.pid,), look)
        except KernelError as error:
            if error.errno in SHORTAGES:
                raise
            continue
        entered.append(netns)
        for key in taken:
            places = found.setdefault(key, [])
            if netns not in places:
                places.append(netns)
    return entered, 0


def _taken_here(tcp: Collection[int], udp: Collection[int], states: int) -> set[PortKey]:
    """Those of the ports that are taken; `states` are those of TCP sockets."""
    taken: set[PortKey] = set()
    # Bound sockets are not among those that the kernel counts.
    if tcp and (states != 1 << STATE_LISTEN or _may_listen()):
        taken |= {("tcp", number) for number in _servers("tcp", tcp, states)}
    return taken | {("udp", number) for number in _servers("udp", udp, states)}


def _may_listen() -> bool:
    counts = read_sockstat()
    return counts is None or counts.tcp > 0


def _servers(protocol: Protocol, numbers: Collection[int], states: int) -> set[int]:
    if not numbers:
        return set()
    decoder = RowDecoder(protocol, lambda _: None, count_minis=False)
    dumps.walk(decoder, states, next(iter(numbers)) if len(numbers) == 1 else None)
    return {sock.port for sock in decoder.sockets} & set(numbers)
