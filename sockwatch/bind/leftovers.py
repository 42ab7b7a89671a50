"""Causes of a blocker that is a connection, or what is left of one."""

from __future__ import annotations

import math
from typing import Final

from sockwatch.bind import fixes
from sockwatch.bind.case import Case, Finder, Found, in_ephemeral_range
from sockwatch.bind.model import Cause, Fix

WITHOUT_PROCESS: Final = ("FIN_WAIT1", "FIN_WAIT2", "LAST_ACK", "CLOSING", "TIME_WAIT")


def _native_ipv6(case: Case) -> Found | None:
    owner, request = case.blocker.owner, case.request
    if (
        (request.family, request.address) != ("ipv4", "0.0.0.0")  # noqa: S104
        or owner.family != "ipv6"
        or owner.address == "::"
        or owner.address.startswith("::ffff:")
    ):
        return None
    text = f"{case.what} on {case.where} came from a dual-stack socket, so it blocks 0.0.0.0"
    return Cause("native-ipv6-connection", text), (
        fixes.WAIT,
        Fix("bind :: for both families, or a specific IPv4 address", None),
    )


def _connection(case: Case) -> Found | None:
    """A program that uses the port as the source of its own connection."""
    if case.blocker.owner.mini and not _self_connected(case):
        return None
    request, facts = case.request, case.snapshot.facts
    if _self_connected(case):
        text = f"a client connected to itself: {case.where} is both ends of one connection"
        todo = (fixes.WAIT,) if case.blocker.owner.mini else ()
        return Cause("self-connect", text), (*todo, fixes.reserve(request.port, facts))
    if case.port.listeners or not in_ephemeral_range(request.port, case.snapshot):
        return None
    owner = case.blocker.owner
    if owner.state not in ("ESTABLISHED", "SYN_SENT", "CLOSE_WAIT") or not case.processes:
        return None
    peer = next((s for s in case.connections() if s.state == owner.state), None)
    # A peer on a port of the range is as likely the client, and this what a server accepted.
    if peer is None or in_ephemeral_range(peer.peer_port or 0, case.snapshot):
        return None
    text = (
        f"{case.who} has {request.port} as the source port of its own connection"
        f" to {peer.peer_address}:{peer.peer_port}"
    )
    return Cause("client-port", text), (
        Fix("wait until that connection is closed; the client does no harm", None),
        fixes.reserve(request.port, facts),
    )


def _flags_differ(case: Case) -> Found:
    owner, request = case.blocker.owner, case.request
    helps = owner.flags.reuseaddr and not request.reuseaddr
    if owner.flags.reuseaddr is None and owner.flags.reuseport is None:
        text = f"{_leftover(case)}; whether the old sockets had SO_REUSEADDR is not known"
        return Cause("leftovers-flags-unknown", text), (
            fixes.WAIT,
            Fix("if they had it, setting it in the new server is enough", fixes.SET_IN_PYTHON),
        )
    if helps:
        text = f"{_leftover(case)}; they have SO_REUSEADDR, and the new socket needs it as well"
        return Cause("request-lacks-flag", text), (
            *fixes.set_reuseaddr(),
            fixes.WAIT,
        )
    destroyable = owner.state in WITHOUT_PROCESS and case.without_fd
    kind = "time-wait-no-flag" if owner.mini else _kind(case)
    text = f"{_leftover(case)}; they lack SO_REUSEADDR, so setting it now does not help this once"
    return Cause(kind, text), (
        fixes.WAIT,
        *((fixes.destroy([owner.state], request.port),) if destroyable else ()),
        *fixes.set_reuseaddr(from_now_on=True),
    )


def _kind(case: Case) -> str:
    owner = case.blocker.owner
    if owner.state in WITHOUT_PROCESS and case.without_fd:
        return "orphans"
    return "unaccepted" if _unaccepted(case) else "leftovers-no-flag"


def _leftover(case: Case) -> str:
    """What is left, and of what."""
    if _unaccepted(case):
        return f"{case.what} on {case.where} wait in an accept queue"
    if case.blocker.owner.mini:
        seconds = case.blocker.frees_in_s
        clock = "" if seconds is None else f", gone in {math.ceil(seconds)} s"
        return f"{case.what} on {case.where} of closed connections{clock}"
    if case.blocker.owner.state in WITHOUT_PROCESS and case.without_fd:
        return f"{case.what} on {case.where}: closed here, the peer has not answered yet"
    if case.processes:
        return f"{case.what} on {case.where} still open in {case.who}"
    return f"{case.what} on {case.where} still open"


def _unaccepted(case: Case) -> bool:
    return case.blocker.owner.state in ("ESTABLISHED", "CLOSE_WAIT") and case.without_fd


def _self_connected(case: Case) -> bool:
    return any(
        sock.state == case.blocker.owner.state
        and (sock.peer_address, sock.peer_port) == (sock.address, sock.port)
        for sock in case.connections()
    )


REST: Final[tuple[Finder, ...]] = (_connection, _native_ipv6, _flags_differ)
