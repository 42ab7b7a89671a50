"""Rules of nft(8), each form in the kernel and read back."""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockwatch.kernel.netfilter import nft_json
from sockwatch.kernel.netfilter.nft_text import rule_texts
from sockwatch.kernel.netfilter.rules import TEXT_LIMIT
from sockwatch.model import Destinations
from tests.kernel.netfilter.rules_of_hosts import nft, places, read
from tests.support.json_values import JSON

OTHER = "chain other {\nmeta l4proto tcp dnat to 10.9.9.9:99\n}"
NAMED = (
    "set s { type inet_service; flags interval; elements = { 8100, 8200-8210 }; }\n"
    "map m { type inet_service : ipv4_addr; elements = { 8300 : 10.0.0.3, 8301 : 10.0.0.4 }; }\n"
    "map v { type inet_proto . inet_service : verdict; elements = { tcp . 8901 : jump other }; }"
)


@pytest.mark.parametrize(
    ("rule", "port", "place"),
    [
        ("tcp dport 8080 dnat to 10.88.0.2:80", 8080, ("DNAT", "10.88.0.2", 80)),
        ("tcp dport 8080 dnat to 10.88.0.2", 8080, ("DNAT", "10.88.0.2", 8080)),
        ("tcp dport 8080 dnat to 10.88.0.2:80-90", 8080, ("DNAT", "10.88.0.2", None)),
        ("tcp dport @s dnat to 10.88.0.3", 8205, ("DNAT", "10.88.0.3", 8205)),
        ("tcp dport { 8400, 8500-8510 } redirect to :9000", 8505, ("REDIRECT", None, 9000)),
        ("tcp dport 8600-8610 redirect to :9000", 8610, ("REDIRECT", None, 9000)),
        ("tcp dport > 65000 redirect to :9000", 65001, ("REDIRECT", None, 9000)),
        ("tcp dport != 22 redirect to :9000", 23, ("REDIRECT", None, 9000)),
        ("dnat to tcp dport map @m", 8301, ("DNAT", "10.0.0.4", 8301)),
        ("dnat to tcp dport map { 8700 : 10.0.0.5 }", 8700, ("DNAT", "10.0.0.5", 8700)),
        ("dnat ip to tcp dport map { 8702 : 10.0.0.5 . 80 }", 8702, ("DNAT", "10.0.0.5", 80)),
        ("tcp dport vmap { 8800 : jump other }", 8800, ("DNAT", "10.9.9.9", 99)),
        ("tcp dport vmap { 8800 : goto other }", 8800, ("DNAT", "10.9.9.9", 99)),
        ("meta l4proto . th dport vmap @v", 8901, ("DNAT", "10.9.9.9", 99)),
        ("meta l4proto { tcp, udp } th dport 77 jump other", 77, ("DNAT", "10.9.9.9", 99)),
        ("meta l4proto tcp ct original proto-dst 80 redirect to :1", 80, ("REDIRECT", None, 1)),
        ("ip protocol tcp dnat to 10.1.1.1", 1234, ("DNAT", "10.1.1.1", 1234)),
        (
            "meta l4proto tcp redirect to :tcp dport map { 82 : 8082, 83 : 8083 }",
            83,
            ("REDIRECT", None, 8083),
        ),
        (
            "meta l4proto tcp dnat to 10.1.1.1 : tcp dport map { 82 : 8082 }",
            82,
            ("DNAT", "10.1.1.1", 8082),
        ),
        (
            "tcp dport 81 dnat to numgen random mod 2 map { 0 : 10.0.0.1, 1 : 10.0.0.2 }",
            81,
            ("DNAT", None, 81),
        ),
    ],
)
def test_each_form_of_a_rule(
    netns: None, rule: str, port: int, place: tuple[str, str | None, int | None]
) -> None:
    nft(rule, before=f"{OTHER}\n{NAMED}")
    assert places(port, "tcp") == [place]


@pytest.mark.parametrize(
    ("rule", "port"),
    [
        ("tcp dport 8080 dnat to 10.88.0.2:80", 8081),
        ("udp dport 8080 dnat to 10.88.0.2:80", 8080),
        ("tcp dport != { 22, 80-90 } redirect to :9000", 85),
        ("tcp dport @s dnat to 10.88.0.3", 8211),
        ("dnat to tcp dport map @m", 8302),
        ("tcp dport vmap { 8800 : jump other }", 8801),
        ("udp dport 8080 jump other", 8080),
        ("tcp dport 8080 counter accept", 8080),
    ],
)
def test_what_is_for_other_packets(netns: None, rule: str, port: int) -> None:
    nft(rule, before=f"{OTHER}\n{NAMED}")
    assert not places(port, "tcp")


def test_a_chain_that_no_packet_comes_to_does_nothing(netns: None) -> None:
    nft("tcp dport 80 accept", before=OTHER)
    assert not places(8080)


def test_what_ends_the_way_before(netns: None) -> None:
    nft("tcp dport 8080 return", "tcp dport 8000-9000 redirect to :1")
    assert not places(8080)
    assert places(8081) == [("REDIRECT", None, 1)]


def test_what_more_a_rule_depends_on(netns: None) -> None:
    nft(
        "tcp dport 80 fib daddr type local counter redirect to :1",
        'tcp dport 81 iifname "lo" redirect to :1',
        "tcp dport 82 limit rate 3/second redirect to :1",
        'tcp dport 83 iifname "lo" return',
        "tcp dport 83 redirect to :1",
    )
    conditional = {port: read(port)[0][0].is_conditional for port in (80, 81, 82, 83)}
    assert conditional == {80: False, 81: True, 82: True, 83: True}


def test_for_which_addresses_and_clients(netns: None) -> None:
    nft(
        "ip daddr { 10.0.0.1, 10.2.0.0/16 } tcp dport 80 redirect to :1",
        "ip daddr != 127.0.0.0/8 tcp dport 81 redirect to :1",
        "ip daddr . tcp dport vmap { 10.1.1.1 . 82 : jump other }",
        before=OTHER,
        hook="output",
    )
    limits = {port: read(port)[0][0].limits for port in (80, 81, 82)}
    assert limits == {
        80: (Destinations(("10.0.0.1/32", "10.2.0.0/16")),),
        81: (Destinations(("127.0.0.0/8",), left_out=True),),
        82: (Destinations(("10.1.1.1/32",)),),
    }
    assert {each.hook for each in read(80)[0]} == {"output"}


def test_both_families_in_one_table(netns: None) -> None:
    nft(
        "tcp dport 80 dnat ip6 to [fd00::2]:80",
        "meta nfproto ipv4 tcp dport 81 dnat ip to 10.0.0.1:80",
        "tcp dport 82 redirect to :83",
        family="inet",
    )
    families = {port: [each.family for each in read(port)[0]] for port in (80, 81, 82)}
    assert families == {80: ["ipv6"], 81: ["ipv4"], 82: ["ipv4", "ipv6"]}


def test_the_text_of_a_rule(netns: None) -> None:
    nft('tcp dport { 80, 90, 100, 110, 120, 130, 140, 150 } redirect to :1 comment "a b"')
    (redirect,), _ = read(80)
    numbers = "80, 90, 100, 110, 120, 130, 140, 150"
    assert redirect.rule == (
        f'nft: table ip t, chain c: tcp dport {{ {numbers} }} redirect to :1 comment "a b"'
    )


def test_the_text_of_a_rule_of_many_lines() -> None:
    lines = "".join(f"\t\t\t\t 10.0.{i >> 8}.{i & 255},\n" for i in range(20_000))
    end = "10.9.9.9 } dnat to 10.1.1.1 # handle 5"
    listing = f"table ip t {{\n\tchain c {{\n\t\tip daddr {{\n{lines}\t\t\t\t {end}\n\t}}\n}}\n"
    started = time.process_time()
    (text,) = rule_texts(listing.encode()).values()
    assert time.process_time() - started < 3
    assert text.startswith("nft: table ip t, chain c: ip daddr { 10.0.0.0, 10.0.0.1, ")
    assert len(text) == TEXT_LIMIT


def test_foreign_text_is_printable(netns: None) -> None:
    nft('tcp dport 80 redirect to :1 comment "\x1b[31m\u202e"')
    (redirect,), _ = read(80)
    assert redirect.rule.isprintable()
    assert "comment" in redirect.rule


def test_a_map_of_ports_is_for_those_alone(netns: None) -> None:
    nft("meta l4proto tcp redirect to :tcp dport map { 82 : 8082, 83 : 8083 }")
    assert places(84, "tcp") == []


def compared(*expressions: object, rules: int) -> bytes:
    """A ruleset of so many rules with these expressions in one NAT chain."""
    place = {"family": "ip", "table": "t"}
    chain = {**place, "name": "c", "type": "nat", "hook": "prerouting"}
    rule = {**place, "chain": "c", "handle": 1, "expr": [*expressions, {"redirect": {"port": 1}}]}
    ports = {**place, "name": "s", "elem": [*range(1, 20_000)]}
    entries = [{"chain": chain}, {"set": ports}, *[{"rule": rule}] * rules]
    return json.dumps({"nftables": entries}).encode()


def matched(left: object, right: object) -> object:
    return {"match": {"op": "==", "left": left, "right": right}}


PORT_IN_SET = matched({"payload": {"protocol": "tcp", "field": "dport"}}, "@s")
TUPLE = matched(
    {"concat": [{"payload": {"protocol": "tcp", "field": "sport"}}, {"meta": {"key": "mark"}}]},
    {"set": [{"concat": [number, number]} for number in range(100)]},
)
RANGES = matched(
    {"payload": {"protocol": "ip6", "field": "daddr"}},
    {"set": [{"range": [f"fd00:{number:x}::1", f"fd00:{number:x}:f::f"]} for number in range(999)]},
)


@pytest.mark.parametrize(
    ("expressions", "rules"),
    [((PORT_IN_SET,), 50), ((TUPLE, TUPLE, TUPLE, TUPLE), 1), ((RANGES,), 1)],
)
def test_values_without_end_are_not_compared_with(
    expressions: tuple[object, ...], rules: int
) -> None:
    with pytest.raises(ValueError, match="compare with more than"):
        nft_json.parse(compared(*expressions, rules=rules))


def test_a_set_in_a_few_rules_is_no_matter() -> None:
    assert len(nft_json.parse(compared(PORT_IN_SET, rules=2)).rules) == 2


def test_a_filter_that_names_the_port_is_no_nat(netns: None) -> None:
    nft("tcp dport 80 redirect to :1")
    filtering = "table ip f { chain c { type filter hook input priority 0; tcp dport 81 drop; }; }"
    subprocess.run(["nft", "-f", "-"], input=filtering, text=True, check=True)
    assert not places(81)


def test_a_form_that_is_not_known_is_counted(netns: None) -> None:
    nft("tcp dport . ip saddr != { 80 . 10.0.0.1 } redirect to :1")
    found, (gap,) = read(80)
    assert not found
    assert gap.code == "nat-rules-unseen"
    assert gap.text.startswith("1 NAT rule of nftables has a form that is not known here")


CHAIN = {"family": "ip", "table": "t", "name": "c", "type": "nat", "hook": "prerouting"}
RULE = {"family": "ip", "table": "t", "chain": "c", "handle": 1}


@given(st.lists(JSON, max_size=5))
def test_damaged_rules_raise_nothing(expressions: list[object]) -> None:
    rule = {**RULE, "expr": [{"match": each} for each in expressions] or expressions}
    text = json.dumps({"nftables": [{"chain": CHAIN}, {"rule": rule}]}).encode()
    assert nft_json.parse(text).unread in (0, 1)


@given(st.binary(max_size=200) | st.builds(lambda v: json.dumps(v).encode(), JSON))
def test_damaged_listings(text: bytes) -> None:
    with suppress(ValueError):
        nft_json.parse(text)
    rule_texts(text)
