"""Network devices and addresses of a place."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.tools import need
from tests.support.waiting import wait_until

TUNNEL_PORT = 4789
ADDRESS = "2001:db8::7"
LINK_LOCAL = "fe80::53"
# Without addresses of their own, which would be tentative for a second.
VETH = (
    "ip link add v0 type veth peer name v1",
    "ip link set v0 addrgenmode none",
    "ip link set v1 addrgenmode none",
)
TUNNEL = f"ip link add tunnel0 type vxlan id 7 dstport {TUNNEL_PORT} dev lo"


def run(*commands: str) -> None:
    """Run them; `NAME=VALUE` is a sysctl below net."""
    for command in commands:
        name, is_sysctl, value = command.partition("=")
        if is_sysctl:
            Path("/proc/sys/net", name).write_text(value)
        else:
            subprocess.run(command.split(), check=True, capture_output=True)


def set_up(*names: str) -> None:
    """Bring the links up, and wait until they have a carrier."""
    run(*(f"ip link set {name} up" for name in names))
    for name in names:
        show = ["ip", "-o", "link", "show", name]
        wait_until(lambda show=show: b"state UP" in subprocess.check_output(show), pause_s=0.02)  # type: ignore[misc]


def need_tunnels() -> None:
    """Skip the test where this kernel has none."""
    need("unshare")
    if subprocess.run(
        ["unshare", "-n", *TUNNEL.split()], capture_output=True, check=False
    ).returncode:
        pytest.skip("this kernel has no vxlan")


def a_tunnel() -> None:
    """The kernel itself receives on its port."""
    run(TUNNEL, "ip link set tunnel0 addrgenmode none", "ip link set tunnel0 up")


def need_nft() -> None:
    need("nft")


def a_redirect() -> None:
    """A NAT rule takes what this namespace sends to the port."""
    chain = "type nat hook output priority -100; tcp dport 8080 redirect to :90;"
    subprocess.run(["nft", f"table ip t {{ chain c {{ {chain} }}; }}"], check=True)


def lo_is_down() -> None:
    run("ip link set lo down")


def no_ipv6_on_lo() -> None:
    run("ipv6/conf/lo/disable_ipv6=1")


def a_tentative_address() -> None:
    """Duplicate address detection that goes on for minutes."""
    run(*VETH, "ipv6/conf/v0/dad_transmits=600")
    set_up("v0", "v1")
    run(f"ip address add {ADDRESS}/64 dev v0")


def an_address_on_a_link_that_is_down() -> None:
    run(*VETH, f"ip address add {ADDRESS}/64 dev v0")


def an_address_without_a_carrier() -> None:
    run(*VETH, "ip link set v0 up", f"ip address add {ADDRESS}/64 dev v0")


def a_duplicate() -> None:
    """The other end of the link has the address, until it is found out."""
    run(*VETH, "ipv6/conf/v0/router_solicitation_delay=0")
    set_up("v0", "v1")
    run(f"ip address add {ADDRESS}/64 dev v1 nodad", f"ip address add {ADDRESS}/64 dev v0")
    show = ["ip", "-o", "address", "show", "v0"]
    wait_until(lambda: b"dadfailed" in subprocess.check_output(show), pause_s=0.02)
    run(f"ip address del {ADDRESS}/64 dev v1")


def a_route() -> None:
    run("ip -6 route add local 2001:db8:77::/64 dev lo")


def a_closer_route() -> None:
    run("ip route add local 198.51.100.0/24 dev lo", "ip route add prohibit 198.51.100.5/32")


def a_link_local_address() -> None:
    run(*VETH, f"ip address add {LINK_LOCAL}/64 dev v0 nodad")


def the_address_comes() -> None:
    run(f"ip address add {ADDRESS}/128 dev lo")
