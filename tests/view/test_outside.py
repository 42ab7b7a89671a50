"""Commands for another network namespace than the one they are typed in."""

from __future__ import annotations

import pytest

from sockwatch.bind.model import Fix
from sockwatch.bind.preconditions import ADDRESSES_UNSEEN, NONLOCAL_UNSEEN, PRIVILEGE_ASSUMED
from sockwatch.model import Netns, Origin
from sockwatch.view.outside import from_outside, gap_from_outside, place, where

SS = Fix("as root, end them", "ss -K sport = 80", in_netns=True)
AGAIN = Fix("run this again as root", "sudo sockwatch why 80", in_netns=True)
TABLE = Fix("look at the services", "rpcinfo -p", in_netns=True)
WEB = Origin("podman", "ab12" * 16, "web2", "cgroup")


@pytest.mark.parametrize(
    ("fix", "netns", "command"),
    [
        (SS, Netns(2, "blue", pid=7), "ip netns exec blue ss -K sport = 80"),
        (SS, Netns(2, "a.b-c_1"), "ip netns exec a.b-c_1 ss -K sport = 80"),
        (AGAIN, Netns(2, "blue"), "sudo ip netns exec blue sockwatch why 80"),
        (SS, Netns(2, None, pid=7), "nsenter --net=/proc/7/ns/net ss -K sport = 80"),
        (AGAIN, Netns(2, None, pid=7), "sudo nsenter --net=/proc/7/ns/net sockwatch why 80"),
        (SS, Netns(2, "host", pid=1), "nsenter --net=/proc/1/ns/net ss -K sport = 80"),
        (SS, Netns(2, "a b", pid=7), "nsenter --net=/proc/7/ns/net ss -K sport = 80"),
    ],
)
def test_a_command_acts_in_its_namespace(fix: Fix, netns: Netns, command: str) -> None:
    """What enters by itself may be run anywhere."""
    assert from_outside(fix, netns) == fix._replace(command=command, in_netns=False)


@pytest.mark.parametrize("name", [None, "host", "a b", "-n"])
def test_where_nothing_leads_there_it_is_in_words_alone(name: str | None) -> None:
    assert from_outside(SS, Netns(2, name)) == SS._replace(command=None)


@pytest.mark.parametrize("fix", [Fix("in words", in_netns=True), Fix("end it", "kill 7")])
def test_what_acts_in_no_namespace_stays(fix: Fix) -> None:
    assert from_outside(fix, Netns(2, "blue", pid=7)) == fix


def test_to_enter_takes_root_where_the_command_does_not() -> None:
    assert from_outside(TABLE, Netns(2, "blue")).text == "as root, look at the services"


def test_the_remedy_of_a_gap_looks_there() -> None:
    blue = Netns(2, "blue")
    assert gap_from_outside(ADDRESSES_UNSEEN, blue).remedy == (
        "check `ip netns exec blue ip address`"
    )
    assert gap_from_outside(NONLOCAL_UNSEEN, Netns(2, None)).remedy == (
        f"in that network namespace, {NONLOCAL_UNSEEN.remedy}"
    )
    assert gap_from_outside(PRIVILEGE_ASSUMED, blue) == PRIVILEGE_ASSUMED


def test_how_a_namespace_is_said() -> None:
    assert where(Netns(1, "host")) == "on the host"
    assert where(Netns(2, "blue")) == "in netns blue"
    assert place(Netns(2, None, origin=WEB)) == "container web2 (podman)"
    assert place(Netns(2, None, origin=WEB._replace(kind="container"))) == "container web2"
    assert place(Netns(2, None)) == "netns 2"
