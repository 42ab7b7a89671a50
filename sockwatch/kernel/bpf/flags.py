"""The flags byte in the records of our programs: both reuse flags, and IPV6_V6ONLY."""

from __future__ import annotations

from typing import Final

from sockwatch.model import ReuseFlags, SocketOptions

SOURCE: Final = "bpf"
REUSEADDR_BITS: Final = 0x0F  # skc_reuse has 4 bits; SO_REUSEADDR is off where all of them are 0
REUSEPORT_SHIFT: Final = 4
V6ONLY_SHIFT: Final = 5


def _options(byte: int) -> SocketOptions:
    reuseaddr = byte & REUSEADDR_BITS != 0
    reuseport = byte >> REUSEPORT_SHIFT & 1 != 0
    return SocketOptions(ReuseFlags(reuseaddr, reuseport, SOURCE), byte >> V6ONLY_SHIFT & 1 != 0)


OPTIONS_OF_BYTE: Final = tuple(map(_options, range(256)))
