"""Which network namespace a word means; the namespaces are made up."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockwatch.kernel.netns.choice import ChoiceError, choose, word_for
from sockwatch.kernel.netns.nsfs import inode_of
from sockwatch.model import Netns, Origin
from tests.support.netns import netns_inode

DIGITS = "3f2a" * 16
WEB = Origin("podman", DIGITS, "web2", "cgroup")
UNNAMED = Origin("docker", "e" * 64, None, "cgroup")
HOST = Netns(4026531840, "host", pid=1)
BLUE = Netns(4026532290, "blue")
POD = Netns(4026532300, None, origin=WEB, pid=812)
OTHER = Netns(4026532310, None, origin=UNNAMED, pid=900)
PLAIN = Netns(4026532320, None, pid=901)
ALL = (HOST, BLUE, POD, OTHER, PLAIN)
PATHS = {
    "/proc/812/ns/net": POD.inode,
    "/proc/77/ns/net": BLUE.inode,
    "/run/netns/blue": BLUE.inode,
    "/run/netns/cni-1": 4026532999,
    "/elsewhere": BLUE.inode,
}


@pytest.mark.parametrize(
    ("word", "netns"),
    [
        ("host", HOST),
        ("blue", BLUE),
        ("web2", POD),
        (DIGITS, POD),
        ("3f2a", POD),
        ("eee", OTHER),
        ("4026532320", PLAIN),
        ("812", POD),
        ("77", BLUE._replace(pid=77)),  # a process leads there
        ("/elsewhere", BLUE),
        ("cni-1", Netns(4026532999, "cni-1")),  # which no list has
    ],
)
def test_a_word_means_one(word: str, netns: Netns) -> None:
    assert choose(word, ALL, PATHS.get) == netns


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("green", "no network namespace and no container is called 'green'; sockwatch ports "),
        ("813", "there is no process 813; "),
        ("4026532321", "there is no network namespace 4026532321; "),
        ("/etc/passwd", "'/etc/passwd' is no network namespace; "),
        ("", "is called ''; "),
    ],
)
def test_a_word_that_means_none(word: str, message: str) -> None:
    with pytest.raises(ChoiceError, match="--all-netns lists them") as raised:
        choose(word, ALL, PATHS.get)
    assert message in str(raised.value)


def test_a_word_that_means_two() -> None:
    twin = Netns(4026532400, "web2")
    with pytest.raises(ChoiceError) as raised:
        choose("web2", (*ALL, twin), PATHS.get)
    assert str(raised.value) == (
        "'web2' could be container web2 or netns web2; type its number: 4026532300 or 4026532400"
    )
    assert word_for(twin, (*ALL, twin)) == "4026532400"


def test_what_to_type_means_it() -> None:
    words = [word_for(netns, ALL) for netns in ALL]
    assert words == ["host", "blue", "web2", "eeeeeeeeeeee", "4026532320"]
    assert [choose(word, ALL, PATHS.get) for word in words] == list(ALL)


@pytest.mark.parametrize("name", ["812", "-x", "a b", "$(reboot)", "a…"])
def test_a_name_that_could_be_taken_for_something_else_is_not_proposed(name: str) -> None:
    netns = Netns(5, None, origin=WEB._replace(name=name))
    assert word_for(netns, (HOST, netns)) == "5"


@given(st.text())
def test_any_text_means_one_or_is_our_error(text: str) -> None:
    try:
        assert choose(text, ALL, lambda _: None) in ALL
    except ChoiceError as error:
        assert str(error).isprintable()  # noqa: PT017


def test_paths(netns: None) -> None:
    assert inode_of(f"/proc/{os.getpid()}/ns/net") == netns_inode()
    for other in (
        "/proc/self/ns/mnt",
        "/dev/null",
        "/etc/passwd",
        "/",
        "/nowhere",
        "/etc/passwd/x",
    ):
        assert inode_of(other) is None
