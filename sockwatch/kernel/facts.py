"""What a bind depends on besides the sockets: addresses, sysctls, privilege, devices."""

from __future__ import annotations

import os
import socket
import sys

from sockwatch.kernel.capabilities import low_ports
from sockwatch.kernel.network import NetworkFacts, read_network
from sockwatch.kernel.proc.proc_stat import ancestry, read_stat
from sockwatch.kernel.proc.services import cgroup_folder, read_cgroup, service_of
from sockwatch.model import HostFacts, KernelError, Service


def read_facts() -> HostFacts:
    """The facts for this thread's network namespace; None where one cannot be read."""
    network, low = _network(), low_ports()
    return HostFacts(
        uid=os.geteuid(),
        net_bind_service=low.may,
        capabilities_count=low.counts,
        unprivileged_port_start=_number("ipv4/ip_unprivileged_port_start"),
        ipv6=_has_ipv6(),
        ipv6_off_at_boot=_switch_of("/sys/module/ipv6/parameters/disable"),
        bindv6only=_bindv6only(),
        nonlocal_bind_ipv4=_switch("ipv4/ip_nonlocal_bind"),
        nonlocal_bind_ipv6=_switch("ipv6/ip_nonlocal_bind"),
        port_range=read_port_range(),
        reserved_ports=_reserved(_sysctl("ipv4/ip_local_reserved_ports") or ""),
        autobind_reuse=_switch("ipv4/ip_autobind_reuse"),
        ipv4_tables=network and network.ipv4_tables,
        ipv6_addresses=network and network.ipv6_addresses,
        ipv6_local_routes=network.ipv6_local_routes if network else (),
        links=network and network.links,
        tcp_l3mdev_accept=_switch("ipv4/tcp_l3mdev_accept"),
        ancestors=_ancestors(),
        pid=os.getpid(),
        service=_service(),
        login_port=_login_port(),
        own_command=own_command(),
    )


def read_port_range() -> tuple[int, int] | None:
    """ip_local_port_range of this thread's network namespace; None if it cannot be read."""
    return _pair(_sysctl("ipv4/ip_local_port_range") or "")


def _ancestors() -> frozenset[int]:
    stat = read_stat(os.getpid())
    return frozenset(pid for pid, _ in ancestry(stat)) if stat is not None else frozenset()


def _service() -> Service | None:
    place = cgroup_folder(read_cgroup(os.getpid()))
    found = service_of(place[0]) if place is not None else None
    return None if found is None else Service(found.name, found.manager_uid, None)


def _login_port() -> int | None:
    """The last word of SSH_CONNECTION, sshd(8), which is about the process's own namespace."""
    words = os.environ.get("SSH_CONNECTION", "").split()
    is_port = len(words) == 4 and words[3].isascii() and words[3].isdecimal()
    try:
        is_here = os.path.samefile("/proc/self/ns/net", "/proc/thread-self/ns/net")
    except OSError:
        is_here = True
    return int(words[3]) if is_port and is_here else None


def own_command() -> tuple[str, ...]:
    """How to start this very sockwatch, by its whole path."""
    program = os.path.abspath(sys.argv[0])
    if os.path.basename(program) == "sockwatch":
        return (program,)
    if program.endswith(".pyz"):
        return (program,) if os.access(program, os.X_OK) else (sys.executable, program)
    return (sys.executable, "-I", "-m", "sockwatch")


def _has_ipv6() -> bool | None:
    if os.path.exists("/proc/thread-self/net/if_inet6"):
        return True
    return False if os.path.exists("/proc/thread-self/net") else None


def _bindv6only() -> bool | None:
    """The sysctl; where /proc/sys is missing (ProcSubset=pid), what a socket gets of it."""
    by_sysctl = _switch("ipv6/bindv6only")
    if by_sysctl is not None:
        return by_sysctl
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as never_bound:
            return bool(never_bound.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))
    except OSError:
        return None


def _sysctl(name: str) -> str | None:
    return _line(f"/proc/sys/net/{name}")


def _line(path: str) -> str | None:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return None


def _number(name: str) -> int | None:
    text = _sysctl(name)
    return int(text) if text is not None and text.isdigit() else None


def _switch(name: str) -> bool | None:
    return _switch_of(f"/proc/sys/net/{name}")


def _switch_of(path: str) -> bool | None:
    text = _line(path)
    return int(text) != 0 if text is not None and text.isdigit() else None


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


def _network() -> NetworkFacts | None:
    """Interfaces, addresses and routes, or None where netlink is refused."""
    try:
        return read_network()
    except (OSError, KernelError):
        return None
