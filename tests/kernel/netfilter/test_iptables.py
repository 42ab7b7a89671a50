"""Rules of iptables(8), of both kinds, in the kernel and read back."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockwatch.kernel.netfilter import iptables_save
from sockwatch.model import Destinations
from tests.kernel.netfilter.rules_of_hosts import (
    DOCKER,
    KUBE_PROXY,
    PODMAN,
    PORTMAP,
    iptables,
    nft,
    places,
    read,
)
from tests.support.tools import need

KINDS = ("iptables-nft", "iptables-legacy")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("rule", "port", "place"),
    [
        (
            "-A PREROUTING -p tcp --dport 80 -j NETMAP --to 10.9.0.0/24",
            80,
            ("DNAT", None, 80),
        ),
        (
            "-A PREROUTING -p tcp --dport 80 -j DNAT --to-destination 10.0.0.1:8080",
            80,
            ("DNAT", "10.0.0.1", 8080),
        ),
        (
            "-A PREROUTING -p tcp --dport 80:90 -j DNAT --to-destination 10.0.0.1",
            85,
            ("DNAT", "10.0.0.1", 85),
        ),
        (
            "-A PREROUTING -p tcp -j DNAT --to-destination 10.0.0.1-10.0.0.9:1-9",
            85,
            ("DNAT", None, None),
        ),
        (
            "-A OUTPUT -p tcp -m multiport --dports 80,90:95 -j REDIRECT --to-ports 8080",
            92,
            ("REDIRECT", None, 8080),
        ),
        ("-A OUTPUT -p tcp ! --dport 22 -j REDIRECT --to-ports 1", 23, ("REDIRECT", None, 1)),
        (
            "-A OUTPUT -p tcp -m multiport ! --dports 22,23 -j REDIRECT --to-ports 1",
            24,
            ("REDIRECT", None, 1),
        ),
    ],
)
def test_each_form_of_a_rule(
    netns: None, kind: str, rule: str, port: int, place: tuple[str, str | None, int | None]
) -> None:
    iptables(rule, kind=kind)
    assert places(port, "tcp") == [place]
    assert not places(22, "udp")


@pytest.mark.parametrize("kind", KINDS)
def test_what_runtimes_make(netns: None, kind: str) -> None:
    iptables(*PODMAN, kind=kind)
    remote, local = read(8080)[0]
    assert remote[2:6] == ("DNAT", "10.88.0.2", 80, "prerouting")
    assert local.hook == "output"
    assert not remote.is_conditional
    assert not read(80)[0]
    assert remote.rule.startswith(f"{kind} -t nat: -A NETAVARK-DN-1 -p tcp")


def test_docker(netns: None) -> None:
    iptables(*DOCKER)
    remote, local = read(8080)[0]
    assert remote.is_conditional
    assert local.limits == (Destinations(("127.0.0.0/8",), left_out=True),)


def test_a_port_of_cni(netns: None) -> None:
    iptables(*PORTMAP)
    assert places(8080) == [("DNAT", "10.4.0.2", 80)] * 2
    assert not places(8443)  # the chain that it leads to leaves it alone


def test_a_node_port_of_kubernetes(netns: None) -> None:
    iptables(*KUBE_PROXY)
    found, _ = read(30080)
    assert {each.address for each in found} == {"10.244.0.5", "10.244.0.6"}
    assert all("--dport 30080" in each.rule for each in found)
    limits = {each.limits for each in read(443)[0]}
    assert limits == {(Destinations(("10.96.0.1/32",)),)}


def test_ipv6(netns: None) -> None:
    iptables(
        "-A PREROUTING -p tcp --dport 80 -j DNAT --to-destination [fd00::2]:8080",
        kind="ip6tables-nft",
    )
    (redirect,), _ = read(80)
    assert redirect[1:5] == ("ipv6", "DNAT", "fd00::2", 8080)


def test_both_kinds_and_nft_at_once(netns: None) -> None:
    nft("tcp dport 80 redirect to :1")
    iptables("-A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 2")
    iptables("-A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 3", kind="iptables-legacy")
    assert sorted(place[2] or 0 for place in places(80)) == [1, 2, 3]


def test_a_comment_may_say_anything(netns: None) -> None:
    rule = "-A PREROUTING -p tcp --dport 80 -m comment --comment -j REDIRECT --to-ports 2"
    iptables(rule.replace("--comment ", "--comment --dport=9 "))
    assert places(80) == [("REDIRECT", None, 2)]
    assert not places(9)


def test_what_changes_nothing_for_whom_a_rule_is(netns: None) -> None:
    iptables("-A PREROUTING -p tcp --dport 80 -j DNAT --to-destination 10.0.0.1 --persistent")
    ((redirect,), _) = read(80)
    assert not redirect.is_conditional


@pytest.mark.parametrize("comment", ["a b", '"', "\\", "it's -j DROP", "a\u2028-A PREROUTING"])
def test_a_comment_in_quotes(netns: None, comment: str) -> None:
    need("iptables-nft")
    words = "iptables-nft -t nat -A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 2"
    subprocess.run([*words.split(), "-m", "comment", "--comment", comment], check=True)
    assert places(80) == [("REDIRECT", None, 2)]


def saved(*rules: str) -> bytes:
    return "\n".join(("*nat", ":PREROUTING ACCEPT [0:0]", *rules, "COMMIT", "")).encode()


def test_sets_of_ipset_are_not_read() -> None:
    rule = "-A PREROUTING -m set --match-set KUBE-NODE-PORT-TCP dst -j REDIRECT --to-ports 1"
    assert iptables_save.parse(saved(rule), "iptables", "ipv4").unread == 1


OPTIONS = ("-p", "tcp", "--dport", "80", "!", "-d", "1.2", '"', "-j", "DNAT", "--to-destination")
WORDS = st.sampled_from(OPTIONS)


@given(st.lists(WORDS))
def test_damaged_rules_raise_nothing(words: list[str]) -> None:
    rule = " ".join(("-A", "PREROUTING", *words))
    rules = iptables_save.parse(saved(rule), "iptables", "ipv4")
    assert len(rules.rules) + rules.unread <= 1


@given(st.binary(max_size=200))
def test_damaged_files(text: bytes) -> None:
    iptables_save.parse(b"*nat\n" + text, "iptables", "ipv4")
