"""Why an address cannot be bound, in real networks, with every fix carried out as it is printed."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from sockwatch.bind import BindRequest, Fix, Verdict, explain_bind
from sockwatch.cli.endpoint import parse_endpoints
from sockwatch.kernel.facts import read_facts
from sockwatch.kernel.snapshot import SnapshotReader
from tests.bind.calls import attempt, new_socket
from tests.bind.oracle import snapshot_of
from tests.support.netns import fresh_netns
from tests.support.privilege import REAL_ROOT
from tests.support.tools import need
from tests.support.waiting import wait_until

PORT = 8080
OPTIONS = {
    "IP_FREEBIND": (socket.IPPROTO_IP, 15),
    "IP_TRANSPARENT": (socket.IPPROTO_IP, 19),
    "IPV6_FREEBIND": (socket.IPPROTO_IPV6, 78),
    "IPV6_TRANSPARENT": (socket.IPPROTO_IPV6, 75),
}
VETH = ("ip link add v0 type veth peer name v1",)
KEEP = ("sysctl ipv6/conf/v0/keep_addr_on_down=1", "sysctl ipv6/conf/all/keep_addr_on_down=1")


class Case(NamedTuple):
    """A network made by `commands`, where `address` gets `errno` for `cause`."""

    commands: tuple[str, ...]
    address: str
    cause: str
    words: str = ""  # in the cause
    errno: str = "EADDRNOTAVAIL"
    device: str | None = None


CASES = [
    Case((), "192.0.2.10", "address-not-local", "no interface here has 192.0.2.10"),
    Case((), "::ffff:192.0.2.10", "address-not-local", "has 192.0.2.10"),
    Case((), "2001:db8::5", "address-not-local"),
    Case((*VETH, "ip addr add 10.1.0.1/24 dev v0", "ip addr del 10.1.0.1/24 dev v0"),
         "10.1.0.1", "address-not-local"),
    Case((*VETH, "ip link set v0 up", "ip addr add 2001:db8::5/64 dev v0"),
         "2001:db8::5", "address-link-down", "v0 has no carrier"),
    Case(("ip link add br7 type bridge", "ip addr add 2001:db8::5/64 dev br7"),
         "2001:db8::5", "address-link-down", "br7 is down"),
    Case((*VETH, *KEEP, "ip link set v0 up", "ip link set v1 up",
          "ip addr add 2001:db8::5/64 dev v0", "ip link set v0 down"),
         "2001:db8::5", "address-link-down", "v0 is down"),
    Case((*VETH, "sysctl ipv6/conf/v0/dad_transmits=5", "ip link set v0 up", "ip link set v1 up",
          "ip addr add 2001:db8::5/64 dev v0"),
         "2001:db8::5", "address-tentative", "has not ended"),
    Case(("ip link set lo down",), "::1", "loopback-down"),
    Case(("sysctl ipv6/conf/lo/disable_ipv6=1",), "::1", "ipv6-off", "disable_ipv6 is 1"),
    Case(("sysctl ipv6/conf/all/disable_ipv6=1", "ip link set lo down"), "::1", "ipv6-off"),
    Case(("ip link set lo mtu 1000",), "::1", "ipv6-off", "MTU"),
    Case(("ip addr del ::1/128 dev lo",), "::1", "address-not-local", "removed"),
    Case(("ip addr del 127.0.0.1/8 dev lo",), "127.0.0.1", "address-not-local", "removed"),
    Case((*VETH, "ip addr add 2001:db8::5/64 dev v0 nodad", "sysctl ipv6/conf/all/disable_ipv6=1"),
         "2001:db8::5", "ipv6-off", "every interface"),
    Case(("ip -6 route add local 2001:db8:77::/64 dev lo",), "2001:db8:77::5", "address-routed"),
    Case(("ip route add local 198.51.100.0/24 dev lo", "ip route add prohibit 198.51.100.5/32"),
         "198.51.100.5", "address-routed", "198.51.100.5/32"),
    Case((*VETH, "ip addr add fe80::53/64 dev v0 nodad"), "fe80::53%v1", "address-other-device",
         "of v0, not of v1"),
    Case(VETH, "::1", "address-other-device", "of lo, not of v0", device="v0"),
    Case((*VETH, "ip addr add fe80::53/64 dev v0 nodad"), "fe80::53", "zone-missing",
         "v0 has it", "EINVAL"),
    Case((*VETH, "ip addr add fe80::53/64 dev v0 nodad", "ip addr add fe80::53/64 dev v1 nodad"),
         "fe80::53", "zone-missing", "have it", "EINVAL"),
    Case((), "fe80::53", "zone-missing", "no interface has it", "EINVAL"),
    Case((), "fe80::53%nope", "no-device", "only lo", "ENODEV"),
]  # fmt: skip


def make(commands: Sequence[str]) -> None:
    for command in commands:
        words = command.split()
        if words[0] == "sysctl":
            name, _, value = words[1].partition("=")
            Path("/proc/sys/net", name).write_text(value)
        else:
            subprocess.run(words, check=True, capture_output=True)


def why(case: Case) -> Verdict:
    verdict = explain_bind(
        BindRequest("tcp", case.address, PORT, device=case.device), snapshot_of(), read_facts()
    )
    assert verdict.bind == kernel_says(verdict.request)
    return verdict


def kernel_says(request: BindRequest, options: Sequence[tuple[int, int]] = ()) -> str:
    address, _, zone = request.address.partition("%")
    if request.needs_zone and zone:
        if zone not in (name for _, name in socket.if_nameindex()):
            return "ENODEV"  # no call can name it
        target: tuple[object, ...] = (address, request.port, 0, socket.if_nametoindex(zone))
    else:
        target = (address, request.port)
    with new_socket(request) as sock:
        for level, option in options:
            sock.setsockopt(level, option, 1)
        return attempt(lambda: sock.bind(target))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.cause} {case.address}")
def test_the_cause_and_every_fix(netns: None, case: Case) -> None:
    need("ip")
    need("sysctl")
    make(case.commands)
    verdict = why(case)
    assert verdict.bind == case.errno
    assert verdict.cause is not None
    assert verdict.cause.id == case.cause
    assert case.words in verdict.cause.text
    waits = [fix for fix in verdict.fixes if "wait" in fix.text or "network-online" in fix.text]
    assert bool(waits) == (case.cause == "address-tentative")
    for fix in verdict.fixes:
        with fresh_netns():
            make(case.commands)
            assert works(why(case), fix), fix


def works(verdict: Verdict, fix: Fix) -> bool:
    """Carry the fix out as it is printed, if it can be; whether bind() then succeeds."""
    request = verdict.request
    if fix.options:
        return kernel_says(request, [OPTIONS[option] for option in fix.options]) == "ok"
    if written := re.match(r"write it as (\S+?)[; ]", fix.text):
        there = "INTERFACE" not in written[1]
        return not there or kernel_says(replace(request, address=written[1])) == "ok"
    if fix.text.startswith("bind to 127.0.0.1"):
        return kernel_says(replace(request, address="127.0.0.1")) == "ok"
    if fix.text.startswith("do not bind the socket"):
        return kernel_says(replace(request, device=None)) == "ok"
    if fix.in_netns and fix.command is not None:
        before = [f for f in verdict.fixes if f.text.startswith("as root, let lo have IPv6")]
        after = [f for f in verdict.fixes if f.step == "then"]
        for step in dict.fromkeys([*before, fix, *after] if after else [fix]):
            assert step.command is not None
            subprocess.run(shlex.split(step.command), check=True, capture_output=True)
        return later_ok(request, fix)
    if fix.text.startswith("connect v0"):
        make(["ip link set v1 up"])
        return later_ok(request, fix)
    if fix.text.startswith("wait"):
        return later_ok(request, fix)
    assert fix.command is None
    return True  # a sentence for people


def later_ok(request: BindRequest, fix: Fix) -> bool:
    if fix.command is not None and " v0 up" in fix.command:
        make(["ip link set v1 up"])  # else it has no carrier
    # A link takes its time to come up, and duplicate detection too.
    wait_until(lambda: kernel_says(request) == "ok", pause_s=0.05)
    return True


def test_a_duplicate_on_the_link(netns: None) -> None:
    need("ip")
    make(
        [*VETH, "ip link set v0 up", "ip link set v1 up", "ip addr add 2001:db8::5/64 dev v1 nodad"]
    )
    for device in ("v0", "v1"):
        wait_until(lambda device=device: read_facts().link(device).is_ready)  # type: ignore[misc,union-attr]
    make(["ip addr add 2001:db8::5/64 dev v0", "ip addr add 2001:db8::6/64 dev v0 nodad"])
    wait_until(
        lambda: any(own.dad_failed for own in read_facts().ipv6_addresses or ()), pause_s=0.05
    )
    make(["ip addr del 2001:db8::5/64 dev v1"])
    verdict = why(Case((), "2001:db8::5", ""))
    assert verdict.cause is not None
    assert verdict.cause.id == "address-duplicate"
    assert not any(fix.command for fix in verdict.fixes)
    assert why(Case((), "2001:db8::6", "")).bind == "ok"


@pytest.mark.skipif(not REAL_ROOT, reason="IP_TRANSPARENT needs root")
@pytest.mark.parametrize("option", [15, 19])
@pytest.mark.parametrize(
    ("address", "wildcard"), [("198.51.100.7", "0.0.0.0"), ("2001:db8::7", "::")]
)
def test_an_owner_with_a_foreign_address(
    netns: None, option: int, address: str, wildcard: str
) -> None:
    with new_socket(BindRequest("tcp", address, PORT)) as owner, SnapshotReader() as reader:
        owner.setsockopt(socket.IPPROTO_IP, option, 1)
        owner.bind((address, PORT))
        owner.listen()
        verdict = explain_bind(BindRequest("tcp", wildcard, PORT), reader.take(PORT))
        assert verdict.bind == "EADDRINUSE"
        assert verdict.cause is not None
        assert f"no interface here has {address}" in verdict.cause.text
        assert "IP_FREEBIND or IP_TRANSPARENT" in verdict.cause.text


def test_an_owner_whose_address_is_gone(netns: None) -> None:
    need("ip")
    make(["ip addr add 198.51.100.7/32 dev lo"])
    with socket.socket() as owner, SnapshotReader() as reader:
        owner.bind(("198.51.100.7", PORT))
        owner.listen()
        request = BindRequest("tcp", "0.0.0.0", PORT)
        before = explain_bind(request, reader.take(PORT))
        make(["ip addr del 198.51.100.7/32 dev lo"])
        reader.forget_facts()
        after = explain_bind(request, reader.take(PORT))
        assert before.cause is not None
        assert after.cause is not None
        assert "no interface" not in before.cause.text
        assert "before the address was removed" in after.cause.text


def test_a_zone_by_number() -> None:
    """As getaddrinfo(3) takes it."""
    near, far = parse_endpoints(["[fe80::1%1]:80", "[fe80::1%99]:80"])
    assert (near.address, far.address) == ("fe80::1%lo", "fe80::1%99")
