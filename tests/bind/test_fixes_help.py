"""No fix that is printed leaves the verdict as it was: each is tried on the snapshot.

What a fix does to a snapshot is written down here a second time, from the words of the fix alone.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from sockwatch.bind import BindRequest, Fix, Verdict, explain_bind
from sockwatch.model import Holder, Port, Process, Service, Snapshot, Socket, SocketGroup
from tests.bind.makers import FACTS, group, snapshot, socket
from tests.support import build

FLAGS = st.tuples(st.booleans(), st.booleans())
ADDRESSES: Final = ("0.0.0.0", "127.0.0.1", "10.1.2.3", "::")
WEB = Service("web.service", None, 20)
PROCESSES: Final = (
    build.process(7, "app"),
    build.process(8, "app", parent=7, age_s=60),
    build.process(9, "sleep", parent=7),
    build.process(20, "web", service=WEB),
    build.process(21, "web", parent=20, service=WEB),
    build.process(30, "job", service=Service("cron.service", None, 3)),
    build.process(1, "systemd"),
    build.process(40, "dockerd"),
)

NEVER_ENDED: Final = (1, 40)


@st.composite
def owners(draw: st.DrawFn) -> Socket | SocketGroup:
    """A server's socket, or connections without one."""
    address = draw(st.sampled_from(ADDRESSES))
    state = draw(st.sampled_from(["LISTEN", "LISTEN", "BOUND", "TIME_WAIT", "LAST_ACK"]))
    if state in ("LISTEN", "BOUND"):
        some = st.lists(st.sampled_from(PROCESSES), min_size=1, max_size=3, unique=True)
        holders = tuple(map(build.holder, draw(some)))
        return socket(state, address, draw(FLAGS), holders=holders, inode=draw(st.integers(1, 9)))
    if state == "TIME_WAIT":
        seconds = draw(st.floats(1, 60))
        return group(state, address, draw(FLAGS), mini=True)._replace(
            first_frees_in_s=seconds, last_frees_in_s=seconds
        )
    return group(state, address, draw(FLAGS), with_fd=0)


requests = st.builds(
    lambda address, flags, uid: BindRequest(
        "tcp", address, 8080, reuseaddr=flags[0], reuseport=flags[1], uid=uid
    ),
    st.sampled_from(ADDRESSES),
    FLAGS,
    st.sampled_from([1000, 33]),
)


def tried(fix: Fix, request: BindRequest, shown: Snapshot) -> Verdict | None:
    """The verdict once the fix is carried out; None for one that only a person can."""
    words = shlex.split(fix.command or "")
    if words[:1] == ["kill"] or words[:2] == ["systemctl", "stop"]:
        return explain_bind(request, ended(fix, shown))
    if words[:2] == ["ss", "-K"]:
        address = words[-1].rpartition(":")[0].strip("[]")
        state = words[words.index("state") + 1].upper().replace("-", "_")
        return explain_bind(
            request, _left(shown, lambda g: (g.state, g.address) != (state, address))
        )
    if waiting := re.fullmatch(r"wait (\d+) s; the port is free then", fix.text):
        return explain_bind(
            request, _left(shown, lambda g: (g.last_frees_in_s or 99) > int(waiting[1]))
        )
    if fix.options and fix.step != "later":
        named = {name.removeprefix("SO_").lower(): True for name in fix.options}
        return explain_bind(replace(request, **named), shown)  # type: ignore[arg-type]
    return None


def ended(fix: Fix, shown: Snapshot) -> Snapshot:
    """The snapshot after the command of the fix, which ends processes."""
    words = shlex.split(fix.command or "")
    if words[0] == "systemctl":
        return _without(shown, lambda process: _is_of(process, words[2:]))
    pids = {int(word) for word in words[1:] if word.isdigit()}
    return _without(shown, lambda process: process.pid in pids)


def _is_of(process: Process, units: list[str]) -> bool:
    """Whether stopping the units ends the process, or makes systemd close its sockets."""
    if process.pid == 1:
        return any(unit.endswith(".socket") for unit in units)
    return process.service is not None and process.service.name in units


def _without(shown: Snapshot, ends: Callable[[Process], bool]) -> Snapshot:
    """The snapshot after these processes have ended."""

    def stays(holder: Holder) -> bool:
        return holder.process is None or not ends(holder.process)

    def left(sockets: tuple[Socket, ...]) -> tuple[Socket, ...]:
        kept = (s._replace(holders=tuple(filter(stays, s.holders))) for s in sockets)
        return tuple(sock for sock in kept if sock.holders)

    return _changed(
        shown, lambda port: port._replace(listeners=left(port.listeners), bound=left(port.bound))
    )


def _left(shown: Snapshot, stays: Callable[[SocketGroup], bool]) -> Snapshot:
    """The snapshot with those connections alone."""
    return _changed(shown, lambda port: port._replace(groups=tuple(filter(stays, port.groups))))


def _changed(shown: Snapshot, change: Callable[[Port], Port]) -> Snapshot:
    return replace(shown, ports=tuple(map(change, shown.ports)))


def answer(verdict: Verdict) -> tuple[object, ...]:
    """What of a verdict a fix has to change: the outcomes, or what is in the way, and by whom."""
    blockers = tuple(
        (b.owner.state, b.owner.address, b.owner.flags, {h.pid for h in b.owner.holders})
        for b in verdict.blockers
    )
    return verdict.bind, verdict.listen, blockers


@settings(max_examples=200)
@given(st.lists(owners(), min_size=1, max_size=4), requests)
def test_each_fix_changes_the_verdict(
    found: list[Socket | SocketGroup], request: BindRequest
) -> None:
    shown = replace(snapshot(*found), facts=FACTS)
    verdict = explain_bind(request, shown)
    for fix in verdict.fixes:
        after = tried(fix, request, shown)
        assert after is None or answer(after) != answer(verdict), fix


@settings(max_examples=200)
@given(st.lists(owners(), min_size=1, max_size=4), requests)
def test_all_that_end_processes_together_end_every_one_in_the_way(
    found: list[Socket | SocketGroup], request: BindRequest
) -> None:
    shown = replace(snapshot(*found), facts=FACTS)
    before = explain_bind(request, shown)
    runs_others = any(holder.pid in NEVER_ENDED for b in before.blockers for holder in b.holders)
    for fix in before.fixes:
        if (fix.command or "").startswith(("kill", "systemctl stop")):
            shown = ended(fix, shown)
    after = explain_bind(request, shown)
    assert runs_others or not any(b.owner.state in ("LISTEN", "BOUND") for b in after.blockers)


@settings(max_examples=200)
@given(st.lists(owners(), min_size=1, max_size=4), requests)
def test_nobody_is_ended_who_is_not_in_the_way(
    found: list[Socket | SocketGroup], request: BindRequest
) -> None:
    verdict = explain_bind(request, replace(snapshot(*found), facts=FACTS))
    in_the_way = {str(holder.pid) for b in verdict.blockers for holder in b.holders}
    for fix in verdict.fixes:
        words = shlex.split(fix.command or "")
        if words[:1] == ["kill"]:
            assert set(words[1:]) <= in_the_way - {str(pid) for pid in NEVER_ENDED}
