"""Verdicts put to the test by what the kernel has answered already. No kernel is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sockwatch.bind.failure import (
    ADDRESS_UNSEEN,
    BOUND_SINCE,
    NOT_JUDGED,
    explain_failure,
    explain_unix_failure,
    request_of,
)
from sockwatch.failure import Failure, UnixName, UnixNameStatus, UnixOwner
from sockwatch.model import Gap, GapCode, Holder, Process, ReuseFlags
from tests.bind.makers import FACTS, snapshot, socket

DEVICES = {1: "lo", 2: "eth0"}
GAP = Gap(GapCode.NOT_JUDGED, "text", "remedy")


def failure(**changes: Any) -> Failure:
    one = Failure(
        time=1000.0, call="bind", errno="EADDRINUSE", pid=7, tid=7, comm="web", uid=1000, fd=3,
        protocol="tcp", family="ipv4", address="0.0.0.0", port=8080, netns_inode=1,
        flags=ReuseFlags(True, False, "bpf"), v6only=False, socket_uid=1000,
        net_bind_service=False, inode=99,
    )  # fmt: skip
    return one._replace(**changes)


def test_the_kernels_answer_is_explained() -> None:
    found = explain_failure(failure(gaps=(GAP,)), snapshot(socket()), DEVICES)
    assert found.explained
    assert [blocker.owner.state for blocker in found.blockers] == ["LISTEN"]
    assert found.cause is not None
    assert found.gaps[0] == GAP


def test_nothing_in_the_way_is_not_explained() -> None:
    found = explain_failure(failure(), snapshot(), DEVICES)
    assert (found.explained, found.blockers, found.cause) == (False, (), None)
    assert found.verdict is not None
    assert found.verdict.bind == "ok"


def test_no_owner_is_blamed_for_another_errno() -> None:
    found = explain_failure(failure(errno="EACCES"), snapshot(socket()), DEVICES)
    assert (found.explained, found.blockers) == (False, ())
    assert found.cause is not None
    assert found.cause.id == "security-policy"
    found = explain_failure(failure(errno="EADDRNOTAVAIL"), snapshot(socket()), DEVICES)
    assert (found.blockers, found.cause, found.fixes) == ((), None, ())


def test_a_process_in_its_own_way_is_not_told_to_stop() -> None:
    held = (Holder(7, 3, None),)
    found = explain_failure(failure(), snapshot(socket(holders=held)), DEVICES)
    assert found.cause is not None
    assert found.cause.id == "same-process"
    assert not any(fix.command for fix in found.fixes)


def test_a_child_that_inherited_the_socket_has_its_parent_in_the_way() -> None:
    parent = Process(6, "web", "web", "www", 1000, 0.0, 1, "S")
    child = parent._replace(pid=7, parent_pid=6)
    held = (Holder(7, 3, child), Holder(6, 3, parent))
    found = explain_failure(failure(), snapshot(socket(holders=held)), DEVICES)
    assert found.cause is not None
    assert found.cause.id == "listener"
    assert "web(6)" in found.cause.text


def test_commands_are_for_the_namespace_of_the_failure() -> None:
    low = failure(port=80, address="127.0.0.1", errno="EACCES", net_bind_service=False)
    shown = replace(snapshot(number=80), facts=FACTS)

    def sysctl(failed: Failure, home: int | None) -> str | None:
        fixes = explain_failure(failed, shown, DEVICES, home).fixes
        return next(fix.command for fix in fixes if fix.text == "as root, let every program use it")

    here = "sysctl -w net.ipv4.ip_unprivileged_port_start=80"
    alive = Process(7, "web", "web", "www", 1000, 0.0, 1, "S")
    assert sysctl(low, None) == sysctl(low, shown.netns.inode) == here
    assert sysctl(low._replace(process=alive), 99) == f"nsenter -t 7 -n {here}"
    assert sysctl(low, 99) is None
    assert sysctl(low._replace(process=alive._replace(state="X")), 99) is None


def test_root_enters_the_namespace_of_the_failure_by_sudo() -> None:
    gap = Gap(GapCode.HOLDERS_NOT_PERMITTED, "text", "remedy")
    facts = replace(FACTS, uid=1000)
    shown = replace(snapshot(socket(holders=())), facts=facts, gaps=(gap,))
    alive = Process(7, "web", "web", "www", 1000, 0.0, 1, "S")
    found = explain_failure(failure(process=alive), shown, DEVICES, 99)
    commands = [fix.command for fix in found.fixes if fix.command]
    assert [c.startswith("sudo nsenter -t 7 -n ") for c in commands] == [True], commands


def test_a_listening_socket_is_not_in_its_own_way() -> None:
    own = socket("BOUND", inode=99)
    listening = failure(call="listen", flags=ReuseFlags(False, False, "bpf"))
    assert not explain_failure(listening, snapshot(own), DEVICES).explained
    other = socket("LISTEN", inode=98)
    found = explain_failure(listening, snapshot(own, other), DEVICES)
    assert found.explained
    assert [getattr(blocker.owner, "inode", None) for blocker in found.blockers] == [98]


def test_a_socket_that_has_the_port_by_now() -> None:
    found = explain_failure(failure(), snapshot(socket("LISTEN", inode=99)), DEVICES)
    assert not found.explained
    assert BOUND_SINCE in found.gaps


def test_listen_has_passed_what_comes_before_the_test() -> None:
    """The right to a low port may be gone by then, and the address too."""
    low = failure(call="listen", port=80, address="192.0.2.1", net_bind_service=False)
    owner = socket("LISTEN", "192.0.2.1", port=80)
    shown = replace(snapshot(owner, number=80), facts=FACTS)
    assert explain_failure(low, shown, DEVICES).explained


def test_the_errno_tells_what_bind_has_passed() -> None:
    """An address of another host is no obstacle to IP_FREEBIND, which no snapshot shows."""
    owner = socket("LISTEN", "0.0.0.0", port=80)
    shown = replace(snapshot(owner, number=80), facts=FACTS)
    foreign = failure(port=80, address="192.0.2.1", net_bind_service=False)
    for errno, reason in (
        ("EADDRINUSE", None),
        ("EACCES", "privileged-port"),
        ("EADDRNOTAVAIL", "not-local"),
    ):
        found = explain_failure(foreign._replace(errno=errno), shown, DEVICES)
        assert found.explained
        assert found.verdict is not None
        assert (found.verdict.reason and found.verdict.reason.id) == reason
    (blocker,) = explain_failure(foreign, shown, DEVICES).blockers
    assert blocker.owner == owner


def test_an_address_that_is_there_by_now() -> None:
    shown = replace(snapshot(), facts=FACTS)
    came = failure(errno="EADDRNOTAVAIL", address="10.1.2.3")
    found = explain_failure(came, shown, DEVICES)
    assert found.cause is not None
    assert found.cause.id == "address-late"
    assert any("network-online.target" in fix.text for fix in found.fixes)
    assert explain_failure(came, snapshot(), DEVICES).cause is None  # no address was read


@pytest.mark.parametrize(
    ("capable", "errno", "explained"),
    [(False, "EACCES", True), (True, "EACCES", False), (True, "EADDRINUSE", True)],
)
def test_the_right_to_a_low_port_is_the_programs(
    capable: bool, errno: str, explained: bool
) -> None:
    low = failure(port=80, address="127.0.0.1", errno=errno, net_bind_service=capable)
    shown = replace(snapshot(socket("LISTEN", port=80), number=80), facts=FACTS)
    assert explain_failure(low, shown, DEVICES).explained == explained


@pytest.mark.parametrize("own_group", [True, False])
def test_a_group_of_its_own_shares_with_nobody(own_group: bool) -> None:
    one = failure(flags=ReuseFlags(False, True, "bpf"), own_group=own_group)
    shown = snapshot(socket("LISTEN", flags=(False, True)))
    assert explain_failure(one, shown, DEVICES).explained == own_group


def test_the_sockets_user_counts_and_not_the_callers() -> None:
    flags = ReuseFlags(False, True, "bpf")
    shown = snapshot(socket("LISTEN", flags=(False, True)))
    assert not explain_failure(failure(flags=flags, uid=0), shown, DEVICES).explained
    assert explain_failure(failure(flags=flags, socket_uid=0), shown, DEVICES).explained


def test_an_address_that_only_the_snapshot_knows() -> None:
    unknown = failure(call="listen", address=None, port=None, family=None)
    shown = snapshot(socket("BOUND", "127.0.0.1", inode=99), socket("LISTEN", "127.0.0.1"))
    found = explain_failure(unknown, shown, DEVICES)
    assert (found.failure.address, found.failure.port) == ("127.0.0.1", 8080)
    assert found.explained
    lost = explain_failure(unknown._replace(inode=5), shown, DEVICES)
    assert ADDRESS_UNSEEN in lost.gaps
    assert not lost.explained


def test_other_protocols_are_not_judged() -> None:
    found = explain_failure(failure(protocol=None), snapshot(socket()), DEVICES)
    assert (found.explained, found.request) == (False, None)
    assert NOT_JUDGED in found.gaps


@pytest.mark.parametrize(
    ("changes", "address", "device"),
    [
        ({}, "0.0.0.0", None),
        ({"device_index": 2}, "0.0.0.0", "eth0"),
        ({"family": "ipv6", "address": "fe80::1", "device_index": 2}, "fe80::1%eth0", "eth0"),
        ({"family": "ipv6", "address": "fe80::1", "device_index": 9}, "fe80::1", None),
        ({"family": "ipv6", "address": "::1"}, "::1", None),
    ],
)
def test_requests(changes: dict[str, Any], address: str, device: str | None) -> None:
    request = request_of(failure(**changes), DEVICES)
    assert request is not None
    assert (request.address, request.device, request.reuseaddr) == (address, device, True)


PROCESS = Process(5, "dockerd", "dockerd", "root", 0, 0.0, 1, "S", "docker.service")
UNIX = failure(
    protocol="unix", family="unix", address="/run/my x", port=None, unix=UnixName(b"/run/my x", 1)
)
ABSTRACT = UNIX._replace(address="@x", unix=UnixName(b"\0x", 1))
LIVE = UnixOwner("LISTEN", 3, (Holder(5, 4, PROCESS),))


@pytest.mark.parametrize(
    ("one", "status", "cause", "text"),
    [
        (
            UNIX,
            UnixNameStatus(True, "socket", (LIVE,)),
            "unix-live",
            "dockerd(5) listens on /run/my x",
        ),
        (
            UNIX,
            UnixNameStatus(True, "socket", (LIVE._replace(holders=()),)),
            "unix-live",
            "could not be seen",
        ),
        (
            UNIX,
            UnixNameStatus(True, "socket", is_alive=False, path="/run/my x"),
            "unix-stale",
            "is stale",
        ),
        (
            UNIX,
            UnixNameStatus(True, "socket", is_alive=True),
            "unix-live",
            "another network namespace",
        ),
        (UNIX, UnixNameStatus(True, "socket"), None, ""),
        (UNIX, UnixNameStatus(True, "directory"), "unix-other-file", "but a directory"),
        (UNIX, UnixNameStatus(True), None, ""),
        (UNIX, UnixNameStatus(False, gaps=(GAP,)), None, ""),
        (UNIX._replace(errno="ENOENT"), UnixNameStatus(True), None, ""),
        (UNIX._replace(errno="EXDEV"), UnixNameStatus(True, "socket", is_alive=False), None, ""),
        (ABSTRACT, UnixNameStatus(True, None, (LIVE,)), "unix-live", "dockerd(5) listens on @x"),
        (ABSTRACT, UnixNameStatus(True), None, ""),
    ],
)
def test_unix_names(one: Failure, status: UnixNameStatus, cause: str | None, text: str) -> None:
    found = explain_unix_failure(one, status, 1000.5)
    assert (found.cause and found.cause.id) == cause
    assert found.explained == (cause is not None)
    assert text in (found.cause.text if found.cause else "")
    assert found.looked_after_s == 0.5
    assert found.gaps == status.gaps
    commands = [fix.command for fix in found.fixes]
    assert cause != "unix-stale" or "rm '/run/my x'" in commands


def test_a_link_local_address_without_its_link() -> None:
    shown = replace(snapshot(), facts=FACTS)
    one = failure(errno="EINVAL", family="ipv6", address="fe80::1")
    found = explain_failure(one, shown, DEVICES)
    assert found.explained
    assert found.cause is not None
    assert found.cause.id == "zone-missing"
    assert any("fe80::1%eth0" in fix.text for fix in found.fixes)
