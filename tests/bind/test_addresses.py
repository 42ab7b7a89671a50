"""Whether an address may be bound: the verdict by facts read from random networks, and bind()."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from sockwatch.bind import BindRequest, explain_bind
from sockwatch.kernel.facts import read_facts
from tests.bind.calls import attempt, new_socket
from tests.bind.oracle import snapshot_of
from tests.support.netns import CLONE_NEWNET, unshare
from tests.support.tools import need
from tests.support.worker import Worker

IP_FREEBIND = 15
LINKS = (
    "link add v0 type veth peer name v1",
    "link add v2 type veth peer name v3",
    "link add br7 type bridge",
)
DEVICES = ("lo", "v0", "v1", "v2", "br7")
IPV4 = ("127.0.0.1", "127.3.4.5", "10.1.0.1", "10.1.0.255", "198.51.100.5", "198.51.100.77")
IPV6 = ("::1", "2001:db8::5", "2001:db8:77::5", "fe80::53")
ASKED = (
    *IPV4, *IPV6, "0.0.0.0", "0.1.2.3", "10.1.0.0", "224.0.0.1", "240.1.2.3", "255.255.255.255",
    "::", "::ffff:10.1.0.1", "::ffff:198.51.100.5", "::ffff:0.0.0.0", "2001:db8::", "ff02::1",
    *(f"fe80::53%{device}" for device in DEVICES),
)  # fmt: skip


def _added(device: str, address: str, options: str) -> str:
    length = 64 if ":" in address else 24
    return f"address add {address}/{length} dev {device} {options}"


def _peer(device: str, address: str) -> str:
    return f"address add {address} peer {address[:-1]}9 dev {device}"


device, ipv4, ipv6 = st.sampled_from(DEVICES), st.sampled_from(IPV4), st.sampled_from(IPV6)
command = st.one_of(
    st.builds("link set {} {}".format, device, st.sampled_from(["up", "up", "up", "down"])),
    st.builds("link set {} master br7".format, st.sampled_from(["v0", "v2"])),
    st.builds("link set {} mtu {}".format, device, st.sampled_from([1000, 1400])),
    st.builds(_added, device, ipv4 | ipv6, st.just("")),
    st.builds(_added, device, ipv6, st.sampled_from(["nodad", "optimistic", "home"])),
    st.builds(_peer, device, ipv6),
    st.builds("address del {} dev {}".format, ipv4 | ipv6, device),
    st.builds(
        "route add {} 198.51.100.{} {}".format,
        st.sampled_from(["local", "broadcast", "unicast", "anycast"]),
        st.sampled_from(["0/24", "5/32", "64/26"]),
        st.builds(
            "dev {} {}".format, device, st.sampled_from(["", "table main", "table local", "tos 4"])
        ),
    ),
    st.builds(
        "route add {} 198.51.100.{} {}".format,
        st.sampled_from(["blackhole", "unreachable", "prohibit", "throw"]),
        st.sampled_from(["0/24", "5/32", "64/26"]),
        st.sampled_from(["", "table local", "metric 7"]),
    ),
    st.builds(
        "-6 route add {} 2001:db8:77::{} dev {}".format,
        st.sampled_from(["local", "unicast", "anycast"]),
        st.sampled_from(["/64", "5/128"]),
        device,
    ),
    st.builds("route flush table {}".format, st.sampled_from(["local", "main"])),
    st.sampled_from(["rule add fwmark 7 lookup 100", "rule del fwmark 7 lookup 100"]),
    st.builds(
        "sysctl ipv6/conf/{}/{}={}".format,
        st.sampled_from([*DEVICES, "all", "default"]),
        st.sampled_from(["disable_ipv6", "keep_addr_on_down", "optimistic_dad", "accept_dad"]),
        st.sampled_from("01"),
    ),
    st.builds(
        "sysctl ipv4/conf/{}/{}=1".format,
        st.sampled_from([*DEVICES, "all"]),
        st.sampled_from(["ignore_routes_with_linkdown", "forwarding"]),
    ),
    st.sampled_from(["sysctl ipv4/ip_nonlocal_bind=1", "sysctl ipv6/ip_nonlocal_bind=1"]),
)


class Answers(NamedTuple):
    """(request, what the verdict says, what the kernel says); whether the network held still."""

    rows: Sequence[tuple[BindRequest, str, str]]
    held_still: bool


@pytest.fixture(scope="module")
def networks() -> Iterator[Worker]:
    """Makes a network by the commands it is sent, and compares every request in it."""
    need("ip")
    with Worker(lambda: _compare) as worker:
        yield worker


def _compare(commands: Sequence[str]) -> Answers:
    unshare(CLONE_NEWNET)
    make_network(commands)
    before = read_facts()
    rows = [(r, explain_bind(r, snapshot_of(), before).bind, _kernel_says(r)) for r in _requests()]
    return Answers(rows, held_still=read_facts() == before)


def make_network(commands: Sequence[str]) -> None:
    """Carry out what ip(8) and sysctl accept of the commands."""
    batch: list[str] = [*LINKS]
    for each in commands:
        if not each.startswith("sysctl "):
            batch.append(each)
            continue
        _ip(batch)
        batch.clear()
        name, _, value = each.removeprefix("sysctl ").partition("=")
        if os.path.exists(f"/proc/sys/net/{name}"):
            with open(f"/proc/sys/net/{name}", "w") as file:
                file.write(value)
    _ip(batch)


def _ip(batch: Sequence[str]) -> None:
    text = "".join(f"{line}\n" for line in batch)
    command = ["ip", "-force", "-batch", "-"]
    subprocess.run(command, check=False, input=text, text=True, capture_output=True)


def _requests() -> Iterator[BindRequest]:
    for address in ASKED:
        for bound in (None, "lo", "v0"):
            yield BindRequest("tcp", address, 8080, device=bound)
        yield BindRequest("udp", address, 8080)
        yield BindRequest("tcp", address, 8080, freebind=True)


def _kernel_says(request: BindRequest) -> str:
    address, _, zone = request.address.partition("%")
    target: tuple[object, ...] = (address, request.port)
    if request.family == "ipv6":
        target = (address, request.port, 0, socket.if_nametoindex(zone) if zone else 0)
    with new_socket(request) as sock:
        if request.freebind:
            sock.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        return attempt(lambda: sock.bind(target))


def _up(*names: str) -> list[str]:
    return [f"link set {name} up" for name in names]


@pytest.mark.timeout(300)
@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(commands=st.lists(command, max_size=12))
@example(commands=[])
@example(commands=["address add 10.1.0.1/24 dev v0"])  # a table local, and lo never up
@example(commands=[*_up("lo"), "-6 route add local 2001:db8:77::/64 dev lo"])
@example(commands=[*_up("v0"), "address add 2001:db8::5/64 dev v0"])  # no carrier
@example(
    commands=[*_up("v0", "v2", "v1", "v3"), *(_added(d, "fe80::53", "nodad") for d in DEVICES)]
)
@example(commands=[*_up("lo"), "sysctl ipv6/conf/lo/disable_ipv6=1"])
@example(
    commands=[
        *_up("lo", "v0"),
        "route add local 198.51.100.0/24 dev lo",
        "route add blackhole 198.51.100.5/32",
    ]
)
@example(
    commands=[
        *_up("lo"),
        "rule add fwmark 7 lookup 100",
        "rule del fwmark 7 lookup 100",
        "route add local 198.51.100.0/24 dev lo",
        "route add blackhole 198.51.100.5/32",
    ]
)
@example(commands=[*_up("lo"), "route add local 198.51.100.0/24 dev lo table main"])
@example(
    commands=[
        *_up("v0", "v1"),
        "sysctl ipv6/conf/v0/keep_addr_on_down=1",
        "address add 2001:db8::5/64 dev v0 nodad",
        "link set v0 down",
    ]
)
def test_the_kernel_agrees_on_random_networks(
    kernel_oracle: None, networks: Worker, commands: list[str]
) -> None:
    answers: Answers = networks.ask(commands)
    wrong = [row for row in answers.rows if row[1] != row[2]]
    assert not wrong or not answers.held_still
