"""What a bind depends on besides the sockets: addresses, sysctls, privilege, devices."""

from __future__ import annotations

import fcntl
import os
import socket
from typing import Final

from sockwatch.kernel.routes import own_addresses
from sockwatch.model import HostFacts, KernelError, OwnAddress
from sockwatch.text import NAME_LIMIT, clean

CAP_NET_BIND_SERVICE: Final = 10
NS_GET_USERNS: Final = 0xB701  # ioctl_ns(2)


def read_facts() -> HostFacts:
    """The facts for this thread's network namespace; None where one cannot be read."""
    return HostFacts(
        uid=os.geteuid(),
        net_bind_service=_may_bind_low_ports(),
        unprivileged_port_start=_number("ipv4/ip_unprivileged_port_start"),
        ipv6=os.path.exists("/proc/net/if_inet6"),
        bindv6only=_switch("ipv6/bindv6only"),
        nonlocal_bind_ipv4=_switch("ipv4/ip_nonlocal_bind"),
        nonlocal_bind_ipv6=_switch("ipv6/ip_nonlocal_bind"),
        port_range=_pair(_sysctl("ipv4/ip_local_port_range") or ""),
        reserved_ports=_reserved(_sysctl("ipv4/ip_local_reserved_ports") or ""),
        autobind_reuse=_switch("ipv4/ip_autobind_reuse"),
        addresses=_addresses(),
        devices=_devices(),
    )


def _devices() -> frozenset[str] | None:
    try:
        return frozenset(clean(name, NAME_LIMIT) for _, name in socket.if_nameindex())
    except OSError:  # the C library asks by netlink
        return None


def _sysctl(name: str) -> str | None:
    try:
        with open(f"/proc/sys/net/{name}") as file:
            return file.read().strip()
    except OSError:
        return None


def _number(name: str) -> int | None:
    text = _sysctl(name)
    return int(text) if text is not None and text.isdigit() else None


def _switch(name: str) -> bool | None:
    number = _number(name)
    return None if number is None else number != 0


def _pair(text: str) -> tuple[int, int] | None:
    try:
        first, last = map(int, text.split())
    except ValueError:
        return None
    return first, last


def _reserved(text: str) -> tuple[tuple[int, int], ...]:
    """``8080,9000-9010`` as pairs of the first and the last port."""
    ranges = (part.partition("-") for part in text.split(","))
    pairs = (_pair(f"{first} {last or first}") for first, _, last in ranges)
    return tuple(pair for pair in pairs if pair is not None)


def _may_bind_low_ports() -> bool | None:
    """Whether we have CAP_NET_BIND_SERVICE where our network namespace belongs to."""
    try:
        with open("/proc/thread-self/status") as file:
            effective = next(line for line in file if line.startswith("CapEff:"))
        if not int(effective.split()[1], 16) >> CAP_NET_BIND_SERVICE & 1:
            return False
        with open("/proc/thread-self/ns/net") as netns:
            owner = fcntl.ioctl(netns, NS_GET_USERNS)
        try:
            return os.fstat(owner).st_ino == os.stat("/proc/thread-self/ns/user").st_ino
        finally:
            os.close(owner)
    except PermissionError:  # it belongs to a user namespace above ours
        return False
    except (OSError, StopIteration):
        return None


def _addresses() -> tuple[OwnAddress, ...] | None:
    """Every address and network that bind() takes for local, or None where netlink is refused."""
    try:
        return tuple(own_addresses())
    except (OSError, KernelError):
        return None
