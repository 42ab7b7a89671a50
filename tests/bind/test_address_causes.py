"""Addresses by facts alone: what the kernel of the tests cannot be made to have."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from sockwatch.bind import BindRequest, Verdict, explain_bind
from sockwatch.model import HostFacts, Link, OwnAddress, Route, RouteTable, Snapshot
from tests.bind.makers import FACTS, request, snapshot, socket

DEVICES = (None, "eth0", "red", "d0", "blue")
RED = 100  # the routing table of VRF red
BLUE = 101
VRFS = replace(
    FACTS,
    links=(
        Link("lo"),
        Link("eth0"),
        Link("red", vrf="red", table=RED),
        Link("d0", vrf="red", table=RED),
        Link("blue", vrf="blue", table=BLUE),
    ),
    ipv4_tables=(
        *(FACTS.ipv4_tables or ()),
        RouteTable(
            RED,
            (
                Route("10.1.0.1/32", "d0"),
                Route("10.1.0.0/24", "d0", "other"),
                Route("0.0.0.0/0", None, "other"),
            ),
        ),
    ),
    ipv6_addresses=(*(FACTS.ipv6_addresses or ()), OwnAddress("2001:db8:1::1", "d0")),
    tcp_l3mdev_accept=False,
)


def verdict(asked: BindRequest, facts: HostFacts, seen: Snapshot | None = None) -> Verdict:
    return explain_bind(asked, seen or snapshot(), facts)


@pytest.mark.parametrize("address", ["10.1.0.1", "::ffff:10.1.0.1", "2001:db8:1::1"])
@pytest.mark.parametrize("device", ["red", "d0"])
def test_the_addresses_of_a_vrf(address: str, device: str) -> None:
    """inet_addr_type_table() and ipv6_chk_addr() look into the VRF of the socket's device alone."""
    assert verdict(request(address, device=device), VRFS).bind == "ok"
    outside = verdict(request(address), VRFS)
    assert outside.bind == "EADDRNOTAVAIL"
    assert outside.cause is not None
    assert outside.cause.id == "address-in-vrf"
    assert "VRF red" in outside.cause.text
    assert any(fix.command == "ip vrf exec red PROGRAM" for fix in outside.fixes)


@pytest.mark.parametrize("address", ["10.1.2.3", "127.0.0.1", "2001:db8::5"])
def test_an_address_outside_of_the_vrf(address: str) -> None:
    assert verdict(request(address), VRFS).bind == "ok"
    inside = verdict(request(address, device="red"), VRFS)
    assert inside.bind == "EADDRNOTAVAIL"
    assert inside.cause is not None
    assert inside.cause.id == "address-in-vrf"
    assert [fix.text for fix in inside.fixes] == ["do not bind the socket to red (SO_BINDTODEVICE)"]


def test_a_vrf_without_a_table_takes_every_ipv4_address() -> None:
    """__inet_dev_addr_type(): without the table the answer is RTN_BROADCAST."""
    assert verdict(request("192.0.2.1", device="blue"), VRFS).bind == "ok"
    assert verdict(request("2001:db8::9", device="blue"), VRFS).bind == "EADDRNOTAVAIL"


@pytest.mark.parametrize(
    ("protocol", "accept", "new", "owner"),
    list(product(("tcp", "udp"), (False, True), DEVICES, DEVICES)),
)
def test_the_ports_of_a_vrf(
    protocol: str, accept: bool, new: str | None, owner: str | None
) -> None:
    """inet_bind_bucket_match(), inet_bind_conflict(), udp_lib_lport_inuse()."""
    vrfs = {None: None, "eth0": None, "red": "red", "d0": "red", "blue": "blue"}
    one_bucket = protocol == "udp" or accept or vrfs[new] == vrfs[owner]
    meets = one_bucket and (new is None or owner is None or new == owner)
    taken = socket("LISTEN" if protocol == "tcp" else "UNCONN", device=owner, protocol=protocol)
    seen = snapshot(taken, protocol=protocol)
    found = verdict(
        request(protocol=protocol, device=new), replace(VRFS, tcp_l3mdev_accept=accept), seen
    )
    assert found.bind == ("EADDRINUSE" if meets else "ok")


@pytest.mark.parametrize("at_boot", [True, False, None])
@pytest.mark.parametrize("address", ["::", "::1", "2001:db8::5"])
def test_a_kernel_without_ipv6(at_boot: bool | None, address: str) -> None:
    facts = replace(FACTS, ipv6=False, ipv6_off_at_boot=at_boot, ipv6_addresses=())
    found = verdict(request(address), facts)
    assert found.bind == "EAFNOSUPPORT"
    assert found.cause is not None
    assert found.cause.id == "no-ipv6"
    assert ("ipv6.disable=1" in found.cause.text) == (at_boot is True)
    assert found.fixes[0].text.startswith("bind to ")
    assert any(fix.command == "modprobe ipv6" for fix in found.fixes) == (at_boot is not True)


def test_links_that_could_not_be_read_are_not_blamed() -> None:
    """Nothing says that waiting would end, nor that the link is down."""
    facts = replace(FACTS, links=None)
    found = verdict(request("2001:db8::6"), facts)
    assert (found.bind, found.cause and found.cause.id) == ("EADDRNOTAVAIL", "address-tentative")
    assert not any("wait" in fix.text for fix in found.fixes)


def test_a_name_that_others_chose_is_quoted() -> None:
    name = "e$(id);.1"
    links = (Link("lo", is_up=False, disable_ipv6=True), Link(name, is_up=False, is_ready=False))
    facts = replace(
        FACTS, links=links, ipv6_addresses=(OwnAddress("2001:db8::6", name, tentative=True),)
    )
    commands = [fix.command for fix in verdict(request("2001:db8::6"), facts).fixes]
    assert "ip link set dev 'e$(id);.1' up" in commands


def test_a_table_too_large_to_be_read() -> None:
    table = RouteTable(255, (Route("198.51.100.0/24", "lo"),), is_complete=False)
    facts = replace(FACTS, ipv4_tables=(table,))
    found = verdict(request("198.51.100.5"), facts)
    assert (found.bind, [gap.code for gap in found.gaps]) == ("ok", ["routes-unseen"])
    assert verdict(request("192.0.2.1"), facts).bind == "EADDRNOTAVAIL"


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::7", "2001:db8::6", "::ffff:192.0.2.1"])
def test_freebind_takes_any_address(address: str) -> None:
    assert verdict(request(address), FACTS).bind == "EADDRNOTAVAIL"
    assert verdict(request(address, freebind=True), FACTS).bind == "ok"
    assert verdict(request("fe80::9", freebind=True), FACTS).bind == "EINVAL"
