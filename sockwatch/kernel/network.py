"""What decides whether bind() takes an address for local: interfaces, addresses, routes."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from ipaddress import IPv4Network
from itertools import islice
from typing import Final, Literal, NamedTuple

from sockwatch.kernel.rtnetlink import (
    RTN_BROADCAST,
    RTN_LOCAL,
    LinkRow,
    RouteRow,
    dump_addresses,
    dump_links,
    dump_routes,
)
from sockwatch.kernel.sock_diag.netlink import open_netlink
from sockwatch.model import Link, OwnAddress, Route, RouteTable

LOCAL_TABLE, MAIN_TABLE = 255, 254
MAIN_MOST: Final = 1000  # routes of the table main that are read; a backbone router has a million
KINDS: Final[dict[int, Literal["local", "broadcast"]]] = {
    RTN_LOCAL: "local",
    RTN_BROADCAST: "broadcast",
}
TABLES: Final = "/proc/thread-self/net/fib_triestat"


class NetworkFacts(NamedTuple):
    """As in HostFacts."""

    links: tuple[Link, ...]
    ipv4_tables: tuple[RouteTable, ...]
    ipv6_addresses: tuple[OwnAddress, ...]
    ipv6_local_routes: tuple[Route, ...]


def read_network() -> NetworkFacts:
    """Those of this thread's network namespace. Raises OSError, KernelError."""
    with open_netlink(socket.NETLINK_ROUTE, strict_check=True) as sock:
        rows = {row.number: row for row in dump_links(sock)}
        names = {number: row.name for number, row in rows.items()}
        links = tuple(_link(row, rows) for row in rows.values())
        of_vrfs = dict.fromkeys(row.vrf_table for row in rows.values())
        tables = [
            _local_table(sock, names),
            *(_vrf_table(sock, number, names) for number in of_vrfs if number is not None),
        ]
        return NetworkFacts(
            links,
            tuple(table for table in tables if table is not None),
            tuple(
                OwnAddress(row.address, names.get(row.device), row.tentative, row.dad_failed)
                for row in dump_addresses(sock)
            ),
            _ipv6_local_routes(sock, names),
        )


def _link(row: LinkRow, rows: Mapping[int, LinkRow]) -> Link:
    """l3mdev_master_dev_rcu(): a VRF is in itself, and so is what is enslaved to it."""
    master = row if row.vrf_table is not None else rows.get(row.master)
    vrf = master if master is not None and master.vrf_table is not None else None
    return Link(
        row.name,
        row.is_up,
        row.is_ready,
        row.disable_ipv6,
        row.mtu,
        vrf and vrf.name,
        vrf and vrf.vrf_table,
    )


def _vrf_table(sock: socket.socket, number: int, names: Mapping[int, str]) -> RouteTable | None:
    routes = _dumped(sock, number)
    return None if routes is None else _table(number, routes, names)


def _local_table(sock: socket.socket, names: Mapping[int, str]) -> RouteTable | None:
    """The table local, with what a lookup in it finds of the table main.

    Until somebody adds a rule, both are one trie (fib_trie_table(), net/ipv4/fib_trie.c).
    """
    own = _dumped(sock, LOCAL_TABLE)
    if own is None:
        return None
    main = _first_of_main()
    is_complete = len(main) <= MAIN_MOST
    wide = [IPv4Network(row.network, strict=False) for row in own if row.length < 32]
    relevant = [row for row in main if row.kind in KINDS or _lies_within(row, wide)]
    if relevant:
        in_trie = _routes_in_local_trie()
        if in_trie is None:
            is_complete = False
        elif in_trie > len(own):
            own = own + relevant
        else:
            is_complete = True  # they are two tries
    return _table(LOCAL_TABLE, own, names, is_complete=is_complete)


def _first_of_main() -> list[RouteRow]:
    """One more than MAIN_MOST if there are more; by a socket of its own, left mid-dump then."""
    with open_netlink(socket.NETLINK_ROUTE, strict_check=True) as sock:
        try:
            return list(islice(dump_routes(sock, socket.AF_INET, MAIN_TABLE), MAIN_MOST + 1))
        except FileNotFoundError:
            return []


def _lies_within(row: RouteRow, wide: list[IPv4Network]) -> bool:
    network = IPv4Network(row.network, strict=False)
    return any(row.length > each.prefixlen and network.subnet_of(each) for each in wide)


def _routes_in_local_trie() -> int | None:
    """How many routes a lookup in the table local goes through; None if that cannot be read."""
    try:
        with open(TABLES) as file:
            _, _, local = file.read().partition("Local:")
        return int(local.partition("Prefixes:")[2].split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _dumped(sock: socket.socket, table: int) -> list[RouteRow] | None:
    """The IPv4 routes of a table, in the kernel's order; None if there is no such table."""
    try:
        return list(dump_routes(sock, socket.AF_INET, table))
    except FileNotFoundError:
        return None


def _table(
    number: int, rows: list[RouteRow], names: Mapping[int, str], *, is_complete: bool = True
) -> RouteTable:
    return RouteTable(number, tuple(_route(row, names) for row in rows if row.is_met), is_complete)


def _route(row: RouteRow, names: Mapping[int, str]) -> Route:
    return Route(row.network, names.get(row.device), KINDS.get(row.kind, "other"))


def _ipv6_local_routes(sock: socket.socket, names: Mapping[int, str]) -> tuple[Route, ...]:
    try:
        rows = list(dump_routes(sock, socket.AF_INET6, LOCAL_TABLE, RTN_LOCAL))
    except FileNotFoundError:
        return ()
    return tuple(_route(row, names) for row in rows if row.length < 128)
