"""Causes of a blocker that is a connection, or what is left of one."""

from __future__ import annotations

import math
from typing import Final

from sockwatch.bind import fixes
from sockwatch.bind.acts import WaitForClocks
from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.clients import outgoing, self_connected
from sockwatch.bind.evidence import Evidence, Explanation, Finder
from sockwatch.bind.model import Cause, Fix, FlagName
from sockwatch.units import verb

WITHOUT_PROCESS: Final = ("FIN_WAIT1", "FIN_WAIT2", "LAST_ACK", "CLOSING", "TIME_WAIT")


def _native_ipv6(evidence: Evidence) -> Explanation | None:
    owner, request = evidence.blocker.owner, evidence.request
    if (
        (request.family, request.address) != ("ipv4", "0.0.0.0")  # noqa: S104
        or owner.family != "ipv6"
        or owner.address == "::"
        or owner.address.startswith("::ffff:")
    ):
        return None
    text = (
        f"{evidence.blocker.what} on {evidence.where} came from a dual-stack socket and"
        f" {_verb(evidence, 'blocks')} 0.0.0.0"
    )
    return Cause(CauseId.NATIVE_IPV6_CONNECTION, text), (
        fixes.WAIT,
        Fix("bind :: for both families, or a specific IPv4 address"),
    )


def _flags_differ(evidence: Evidence) -> Explanation:
    owner, request = evidence.blocker.owner, evidence.request
    if owner.flags.reuseaddr is None and owner.flags.reuseport is None:
        text = f"{_leftover(evidence)}; whether the old sockets had SO_REUSEADDR is unknown"
        return Cause(CauseId.LEFTOVERS_FLAGS_UNKNOWN, text), (
            fixes.WAIT,
            Fix(
                "if the old sockets had SO_REUSEADDR, set it before bind(): that is enough then",
                options=("SO_REUSEADDR",),
            ),
        )
    if flags := evidence.flags_to_set or _lacking(evidence):
        text = (
            f"{_leftover(evidence)}; {' and '.join(flags)} {verb(len(flags), 'is')} set there, and"
            f" the new socket needs {'it' if len(flags) == 1 else 'both'} too"
        )
        now = (fixes.set_flags(*flags),) if evidence.flags_to_set else ()  # else another stays
        return Cause(CauseId.REQUEST_LACKS_FLAG, text), (*now, fixes.WAIT)
    destroyable = owner.state in WITHOUT_PROCESS and evidence.is_destroyable
    text = f"{_leftover(evidence)}, without SO_REUSEADDR: setting it now will not help this time"
    return Cause(_without_flag(evidence), text), (
        fixes.WAIT,
        *_release(evidence),
        *((fixes.destroy(owner.state, owner.address, request.port),) if destroyable else ()),
        fixes.set_flags("SO_REUSEADDR", step="later"),
    )


def _lacking(evidence: Evidence) -> tuple[FlagName, ...]:
    """A flag of the owner that the request lacks and would pass the owner with."""
    owner, request = evidence.blocker.owner, evidence.request
    if owner.flags.reuseaddr and not request.reuseaddr:
        return ("SO_REUSEADDR",)
    uid = evidence.snapshot.facts.uid if request.uid is None else request.uid
    same_user = owner.mini or (uid is not None and owner.uid == uid)
    return (
        ("SO_REUSEPORT",) if owner.flags.reuseport and not request.reuseport and same_user else ()
    )


def _without_flag(evidence: Evidence) -> CauseId:
    owner = evidence.blocker.owner
    if owner.mini:
        return CauseId.TIME_WAIT_NO_FLAG
    if owner.state in WITHOUT_PROCESS and evidence.blocker.without_fd:
        return CauseId.ORPHANS
    if _unaccepted(evidence):
        return CauseId.UNACCEPTED
    return CauseId.CLOSE_WAIT if owner.state == "CLOSE_WAIT" else CauseId.LEFTOVERS_NO_FLAG


def _release(evidence: Evidence) -> tuple[Fix, ...]:
    """What closes connections that some process keeps open: its end, or its own doing."""
    if not evidence.blocker.holders:
        return ()
    stop = evidence.stop()
    if evidence.blocker.owner.state == "CLOSE_WAIT":
        closing = Fix("in that program, close a connection once recv() returns 0", step="later")
        return (*stop, closing)
    # TCP_TIMEWAIT_LEN; a connection with unread data is reset instead.
    text = "wait 60 s: connections that end with it go to TIME_WAIT"
    wait = Fix(text, step="then", act=WaitForClocks())
    return (*stop, wait) if stop else ()


def _leftover(evidence: Evidence) -> str:
    """What is left over, and why it is still there."""
    sockets = f"{evidence.blocker.what} on {evidence.where}"
    if _unaccepted(evidence):
        return f"{sockets} {_verb(evidence, 'waits')} in an accept queue"
    if evidence.blocker.owner.mini:
        seconds = evidence.blocker.frees_in_s
        if seconds is None:
            return sockets
        earliest = " at the earliest" if evidence.blocker.may_last_longer else ""
        return f"{sockets}, gone in {math.ceil(seconds)} s{earliest}"
    if evidence.blocker.owner.state in WITHOUT_PROCESS and evidence.blocker.without_fd:
        return f"{sockets}, closed here but not yet by the peer"
    if evidence.blocker.owner.state == "CLOSE_WAIT":
        who = evidence.does("has") if evidence.processes else "the program has"
        return f"{sockets}, which the peer has closed and {who} not"
    return f"{sockets}, still open{f' in {evidence.who}' if evidence.processes else ''}"


def _verb(evidence: Evidence, singular: str) -> str:
    return verb(evidence.blocker.count, singular)


def _unaccepted(evidence: Evidence) -> bool:
    return (
        evidence.blocker.owner.state in ("ESTABLISHED", "CLOSE_WAIT")
        and evidence.blocker.without_fd
    )


REST: Final[tuple[Finder, ...]] = (self_connected, outgoing, _native_ipv6, _flags_differ)
