"""The chains of nftables at NAT hooks, from the kernel: whether there is anything to be shown.

nft(8) and iptables(8) have the kernel load modules by asking for what is not there. Nothing is
asked here before it is.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from sockwatch.kernel.sock_diag.inet_diag import attributes
from sockwatch.kernel.sock_diag.netlink import dump, open_netlink
from sockwatch.model import Family, KernelError

NETLINK_NETFILTER: Final = 12
GET_CHAIN: Final = 10 << 8 | 4  # NFNL_SUBSYS_NFTABLES, NFT_MSG_GETCHAIN
NFTA_CHAIN_TABLE, NFTA_CHAIN_HOOK, NFTA_CHAIN_TYPE = 1, 4, 7
NFTA_HOOK_HOOKNUM: Final = 1
# struct nfgenmsg: family, version, resource id
MESSAGE: Final = struct.Struct("<BBH")
# include/uapi/linux/netfilter.h: NFPROTO_INET, NFPROTO_IPV4, NFPROTO_IPV6
FAMILY_NAMES: Final = {1: "inet", 2: "ip", 10: "ip6"}
HOOK_NAMES: Final = {0: "prerouting", 3: "output"}
NESTED: Final = 0x7FFF  # without NLA_F_NESTED
NAT_MODULE: Final = "nf_nat"
TABLE_NAMES: Final[dict[Family, str]] = {"ipv4": "ip_tables_names", "ipv6": "ip6_tables_names"}
MOST_BYTES: Final = 1 << 20
MOST_CHAINS: Final = 100_000


def has_nat() -> bool:
    """False where the kernel has loaded nothing that changes a destination; else True."""
    try:
        loaded = Path("/proc/modules").read_text()
        built_in = Path(f"/lib/modules/{os.uname().release}/modules.builtin").read_text()
    except (OSError, UnicodeDecodeError):  # a kernel without modules, or a container
        return True
    names = {line.partition(" ")[0] for line in loaded.splitlines()}
    return NAT_MODULE in names or f"/{NAT_MODULE}.ko" in built_in


def nat_tables() -> frozenset[str]:
    """The tables, as ``ip nat``, with a chain where nftables may change a destination.

    Raises PermissionError without CAP_NET_ADMIN over the network namespace, KernelError.
    """
    try:
        with open_netlink(NETLINK_NETFILTER) as sock:
            return frozenset(_tables(dump(sock, GET_CHAIN, MESSAGE.pack(0, 0, 0), MESSAGE.size)))
    except PermissionError:
        raise
    except OSError:  # the kernel has no nf_tables, or no netlink for it
        return frozenset()


def _tables(messages: Iterator[bytes]) -> Iterator[str]:
    for count, message in enumerate(messages):
        if count == MOST_CHAINS:
            raise KernelError(f"there are more than {MOST_CHAINS} chains", 0)
        family = FAMILY_NAMES.get(message[0])
        values = _values(message, MESSAGE.size)
        hook = _values(values.get(NFTA_CHAIN_HOOK, b""), 0)
        number = int.from_bytes(hook.get(NFTA_HOOK_HOOKNUM, b"\xff"), "big")
        if family and values.get(NFTA_CHAIN_TYPE) == b"nat\0" and number in HOOK_NAMES:
            name = values.get(NFTA_CHAIN_TABLE, b"").rstrip(b"\0")
            yield f"{family} {name.decode('utf-8', 'surrogateescape')}"


def _values(message: bytes, start: int) -> dict[int, bytes]:
    return {
        kind & NESTED: message[at:end] for kind, at, end in attributes(message, start, len(message))
    }


def legacy_families() -> frozenset[Family]:
    """Those for which the older iptables has a table nat. Raises PermissionError."""
    families: set[Family] = set()
    for family, name in TABLE_NAMES.items():
        with suppress(FileNotFoundError), open(f"/proc/thread-self/net/{name}", "rb") as file:
            if b"nat" in file.read(MOST_BYTES).split():
                families.add(family)
    return frozenset(families)
