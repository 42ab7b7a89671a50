"""What a restart would get, in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sockwatch.bind import RestartVerdict, explain_restart
from sockwatch.model import UNKNOWN_FLAGS, GapCode, HostFacts, ReuseFlags, Socket, SocketGroup
from sockwatch.view.restart import restart_cell, restart_text
from tests.support import build
from tests.support.build import NONE, A, P, group, holder

WEB, CHILD, OTHER = (
    build.process(pid, name, parent=parent)
    for pid, name, parent in ((812, "web", 1), (813, "web", 812), (900, "other", 1))
)


def listener(flags: ReuseFlags = NONE, *held_by: Any, **changes: Any) -> Socket:
    holders = tuple(map(holder, held_by or (WEB,)))
    made = build.socket("LISTEN", "0.0.0.0", 8080, flags=flags, holders=holders, queue=0)
    return made._replace(**changes)


def open_ones(count: int, flags: ReuseFlags = NONE, **changes: Any) -> SocketGroup:
    made = group("ESTABLISHED", "10.0.0.5", count, with_fd=count, flags=flags, uid=0)
    filled: dict[str, Any] = {"holders": (holder(WEB),), "unread": 0, "unacknowledged": 0}
    return made._replace(**filled | changes)


def time_waits(count: int, flags: ReuseFlags = NONE, **changes: Any) -> SocketGroup:
    return group("TIME_WAIT", "10.0.0.5", count, clock=(1.0, 40.2), flags=flags)._replace(**changes)


def said(*groups: SocketGroup, server: Socket | None = None, **changes: Any) -> RestartVerdict:
    changes = {"listeners": (server or listener(),)} | changes
    port = build.port(8080, groups=groups, **changes)
    found = replace(build.snapshot([port]), facts=HostFacts(uid=0, ipv6=True))
    answer = explain_restart(port, found)
    assert answer is not None
    return answer


@pytest.mark.parametrize(
    ("answer", "cell", "text"),
    [
        (said(), "ok", "will bind at once"),
        (
            said(time_waits(801, A), server=listener(A)),
            "ok",
            "will bind at once: its 801 TIME_WAIT and the new socket both have SO_REUSEADDR",
        ),
        (
            said(time_waits(801, A), open_ones(1, A), server=listener(A)),
            "ok",
            ("will bind at once: its 801 TIME_WAIT, 1 open connection and the new socket all have"
            " SO_REUSEADDR"),
        ),
        (
            said(open_ones(312)),
            "60s",
            ("will fail for up to 60 s: 312 open connections will be left in TIME_WAIT without"
            " SO_REUSEADDR"),
        ),
        (
            said(time_waits(17)),
            "41s",
            "will fail for up to 41 s: 17 TIME_WAIT without SO_REUSEADDR",
        ),
        (
            said(time_waits(17, A)),
            "41s",
            "will fail for up to 41 s: 17 TIME_WAIT, and the server does not set SO_REUSEADDR",
        ),
        (
            said(time_waits(2, state="FIN_WAIT2")),
            "41s",
            "will fail for 41 s at least: 2 FIN_WAIT2 without SO_REUSEADDR",
        ),
        (
            said(group("LAST_ACK", "10.0.0.5", 2, flags=NONE)),
            "no",
            "will fail until their peers answer: 2 LAST_ACK without SO_REUSEADDR",
        ),
        (
            said(open_ones(5, unread=5)),
            "ok",
            "will bind at once",
        ),
        (
            said(open_ones(3, holders=(holder(CHILD),))),
            "no",
            "will fail: web(813) keeps 3 connections open",
        ),
        (
            said(server=listener(NONE, WEB, OTHER)),
            "no",
            "will fail: other(900) keeps the listening socket",
        ),
        (
            said(listeners=(listener(), listener(NONE, OTHER, address="0.0.0.0"))),
            "no",
            "will fail: other(900) has 0.0.0.0:8080 too",
        ),
        (
            said(open_ones(3, holders=()), server=listener()._replace(holders=())),
            "60s",
            (
                "will fail for up to 60 s: 3 open connections will be left in TIME_WAIT without"
                " SO_REUSEADDR"
            ),
        ),
        (
            said(open_ones(3, holders=())),
            "no",
            "will fail: 3 ESTABLISHED without SO_REUSEADDR",
        ),
        (
            said(open_ones(3, state="CLOSE_WAIT", holders=())),
            "?",
            "depends on sockets that may not go together with the server",
        ),
        (
            said(open_ones(3, UNKNOWN_FLAGS), server=listener(A)),
            "?",
            "depends on SO_REUSEADDR, which could not be read",
        ),
        (
            said(open_ones(3, UNKNOWN_FLAGS), server=listener(UNKNOWN_FLAGS)),
            "?",
            "depends on SO_REUSEADDR and SO_REUSEPORT, which could not be read",
        ),
        (said(server=listener(UNKNOWN_FLAGS)), "ok", "will bind at once"),
        (
            said(open_ones(3, state="CLOSE_WAIT", unacknowledged=1)),
            "?",
            "depends on sockets that may not go together with the server",
        ),
        (
            said(open_ones(3), server=listener(P)),
            "?",
            "depends on whether the kernel remembers that the server had SO_REUSEPORT",
        ),
        (
            said(server=listener(address="fe80::1", family="ipv6")),
            "no",
            ("will fail with EINVAL: a link-local address needs a device: fe80::1%eth0, or"
            " SO_BINDTODEVICE"),
        ),
    ],
)  # fmt: skip
def test_words(answer: RestartVerdict, cell: str, text: str) -> None:
    assert restart_text(answer) == text
    assert restart_cell(answer) == cell


def test_no_server() -> None:
    assert restart_cell(None) == "-"


def test_what_may_be_reset_is_a_gap() -> None:
    codes = [gap.code for gap in said(open_ones(3)).verdict.gaps]
    assert codes.count(GapCode.RESETS_UNSEEN) == 1
    counted = said(open_ones(3, unread=None)).verdict
    assert counted.bind == "EADDRINUSE"
    assert [gap.code for gap in counted.gaps].count(GapCode.RESETS_UNSEEN) == 2
    assert not said(time_waits(3)).verdict.gaps


def test_counts() -> None:
    answer = said(open_ones(3, A), open_ones(4), open_ones(2, UNKNOWN_FLAGS, unread=1))
    assert answer.connections == (3, 4, 1)
    assert answer.ends == (WEB,)
    assert answer.stays == ()
