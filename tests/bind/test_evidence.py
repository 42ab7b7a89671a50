"""Every cause says what shows it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sockwatch.bind import BindRequest, Cause, explain_bind
from sockwatch.model import Holder, ReuseFlags, Socket, SocketGroup
from sockwatch.view.verdict import cause_text
from tests.bind.makers import FACTS, group, snapshot, socket
from tests.support import build

FLAGS = st.tuples(st.sampled_from([True, False, None]), st.sampled_from([True, False, None]))
PROCESSES = st.sampled_from(
    [
        build.process(1, "systemd"),
        build.process(7, "web"),
        build.process(8, "web", parent=7, age_s=5),
        build.process(9, "sleep", parent=7),
        build.process(10, "docker-proxy"),
    ]
)
HOLDERS = st.lists(PROCESSES, max_size=3, unique=True).map(
    lambda processes: tuple(map(build.holder, processes))
)


@st.composite
def owners(draw: st.DrawFn) -> Socket | SocketGroup:
    """A socket on the port, held by anybody or nobody."""
    state = draw(
        st.sampled_from(["LISTEN", "BOUND", "TIME_WAIT", "CLOSE_WAIT", "ESTABLISHED", "LAST_ACK"])
    )
    address = draw(st.sampled_from(["0.0.0.0", "127.0.0.1", "::"]))
    if state in ("LISTEN", "BOUND"):
        holders: tuple[Holder, ...] = draw(HOLDERS)
        inode = draw(st.integers(1, 3))
        return socket(state, address, draw(FLAGS), holders=holders, inode=inode)
    with_fd = draw(st.sampled_from([0, 1, None]))
    return group(state, address, draw(FLAGS), mini=state == "TIME_WAIT", with_fd=with_fd)


@settings(max_examples=300)
@given(
    st.lists(owners(), max_size=4),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["0.0.0.0", "127.0.0.1", "::", "192.0.2.1"]),
)
def test_every_cause_has_evidence(
    found: list[Socket | SocketGroup], reuseaddr: bool, reuseport: bool, address: str
) -> None:
    shown = replace(snapshot(*found), facts=FACTS)
    verdict = explain_bind(
        BindRequest("tcp", address, 8080, reuseaddr=reuseaddr, reuseport=reuseport), shown
    )
    causes = [verdict.cause, *(blocker.cause for blocker in verdict.blockers)]
    assert all(cause.evidence and all(cause.evidence) for cause in causes if cause is not None)
    assert (verdict.cause is not None) == bool(verdict.blockers or verdict.bind != "ok")


@pytest.mark.parametrize("number", [80, 40000])
def test_evidence_without_a_blocker(number: int) -> None:
    shown = replace(snapshot(number=number), facts=FACTS)
    verdict = explain_bind(BindRequest("tcp", "0.0.0.0", number), shown)
    assert verdict.cause is not None
    assert verdict.cause.evidence


def test_flags_and_clock_are_told() -> None:
    left = group(flags=(False, None))._replace(flags=ReuseFlags(False, None, "bpf"))
    verdict = explain_bind(BindRequest("tcp", "0.0.0.0", 8080, reuseaddr=True), snapshot(left))
    assert verdict.cause is not None
    assert verdict.cause.evidence == (
        "no fd refers to it",
        "its clock has 41 s left",
        "it does not have SO_REUSEADDR",
    )


def test_a_sentence_of_it() -> None:
    cause = Cause("listener", "web(7) listens", ("a", "b", "c"))
    assert cause_text(cause) == "web(7) listens, because a, b and c"
    assert cause_text(cause._replace(evidence=("a",))) == "web(7) listens, because a"
    assert cause_text(cause._replace(evidence=())) == "web(7) listens"
