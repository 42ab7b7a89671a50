"""Do the addresses of a new socket and of an owner overlap?

An address falls into a class, and a table says which classes overlap. The table is that of TCP
since 6.9 (net/ipv4/inet_hashtables.c and net/ipv4/inet_connection_sock.c). UDP, and TCP before 6.1,
compare addresses two by two, which differs in one cell; kernels between differ in others.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal, NamedTuple

from sockwatch.bind.kernels import Quirk
from sockwatch.model import Family, Protocol

AddressClass = Literal[
    "4",  # one IPv4 address, AF_INET
    "4m",  # one IPv4 address, v4-mapped
    "0",  # 0.0.0.0, AF_INET
    "0m",  # ::ffff:0.0.0.0
    "::",  # :: for both families
    "::only",  # :: with IPV6_V6ONLY
    "6",  # one native IPv6 address; bind() to one sets IPV6_V6ONLY
    "6dual",  # one native IPv6 address of a connection that was never bound to it
]

# y: they overlap. =: if they are the same address. s: if the new address is the stand-in below.
TCP_TABLE = """
new \\ owner  4  4m  0  0m  ::  ::only  6  6dual
4             =  =   y  y   y   -       -  -
4m            =  =   y  y   y   -       -  -
0             y  y   y  y   y   -       -  y
0m            y  y   y  y   y   -       -  -
::            y  y   y  y   y   y       y  y
::only        -  -   -  -   y   y       y  y
6             -  -   -  -   y   y       =  =
"""
# Compared two by two, a native IPv6 owner has this IPv4 address in the eyes of AF_INET.
STAND_IN = IPv4Address("127.0.0.6")
PAIRWISE: dict[tuple[str, str], str] = {("4", "6dual"): "s"}
QUIRK_CELLS: dict[Quirk, dict[tuple[str, str], str]] = {
    Quirk.PAIRWISE_OVERLAP: PAIRWISE,
    Quirk.DUAL_WILDCARD_MISSED: {("4", "::"): "-", ("4m", "::"): "-"},
    Quirk.MAPPED_MISSED: {("4", "4m"): "-", ("4", "0m"): "-"},
    Quirk.MAPPED_WILDCARD_MISSED: {("4m", "0m"): "-"},
    Quirk.V6ONLY_BLOCKS_MAPPED: {("4m", "::only"): "y", ("0m", "::only"): "y"},
}


def _cells(table: str) -> dict[tuple[str, str], str]:
    head, *rows = (line.split() for line in table.strip().splitlines())
    columns = head[3:]
    return {(row[0], c): cell for row in rows for c, cell in zip(columns, row[1:], strict=True)}


TCP_CELLS = _cells(TCP_TABLE)
UDP_CELLS = TCP_CELLS | PAIRWISE


class ClassifiedAddress(NamedTuple):
    """An address as the bind test sees it. `ip` is the IPv4 address if it is v4-mapped."""

    kind: AddressClass
    ip: IPv4Address | IPv6Address

    @property
    def wildcard(self) -> bool:
        """Whether it is the wildcard address of its family."""
        return self.kind in ("0", "0m", "::", "::only")


@lru_cache(maxsize=4096)
def classify(family: Family, address: str, v6only: bool, bound: bool = False) -> ClassifiedAddress:
    """Classify a local address. `bound`: by bind(), which sets IPV6_V6ONLY on a native address."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv4Address):
        mapped = family == "ipv6"
        if ip.is_unspecified:
            return ClassifiedAddress("0m" if mapped else "0", ip)
        return ClassifiedAddress("4m" if mapped else "4", ip)
    if ip.ipv4_mapped is not None:
        return ClassifiedAddress("0m" if ip.ipv4_mapped.is_unspecified else "4m", ip.ipv4_mapped)
    if ip.is_unspecified:
        return ClassifiedAddress("::only" if v6only else "::", ip)
    return ClassifiedAddress("6" if v6only or bound else "6dual", ip)


def overlaps(
    new: ClassifiedAddress,
    owner: ClassifiedAddress,
    protocol: Protocol,
    quirks: Collection[Quirk] = (),
) -> bool:
    """Whether a socket binding to `new` overlaps an owner on `owner`."""
    key = (new.kind, owner.kind)
    cell = (TCP_CELLS if protocol == "tcp" else UDP_CELLS)[key]
    if protocol == "tcp":
        for quirk in quirks:
            cell = QUIRK_CELLS.get(quirk, {}).get(key, cell)
    if cell == "=":
        return new.ip == owner.ip
    return cell == "y" or (cell == "s" and new.ip == STAND_IN)
