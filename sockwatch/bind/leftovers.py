"""Causes of a blocker that is a connection, or what is left of one."""

from __future__ import annotations

import math
from typing import Final

from sockwatch.bind import fixes
from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.evidence import Evidence, Explanation, Finder, in_ephemeral_range
from sockwatch.bind.model import Cause, Fix
from sockwatch.units import endpoint, verb

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
        f"{evidence.what} on {evidence.where} came from a dual-stack socket and"
        f" {_verb(evidence, 'blocks')} 0.0.0.0"
    )
    return Cause(CauseId.NATIVE_IPV6_CONNECTION, text), (
        fixes.WAIT,
        Fix("bind :: for both families, or a specific IPv4 address", None),
    )


def _connection(evidence: Evidence) -> Explanation | None:
    """A program that uses the port as the source of its own connection."""
    if evidence.blocker.owner.mini and not _self_connected(evidence):
        return None
    request, facts = evidence.request, evidence.snapshot.facts
    if _self_connected(evidence):
        text = f"a client connected to itself: {evidence.where} is both ends of one connection"
        todo = (fixes.WAIT,) if evidence.blocker.owner.mini else ()
        return Cause(CauseId.SELF_CONNECT, text), (*todo, fixes.reserve(request.port, facts))
    if evidence.port.listeners or not in_ephemeral_range(request.port, evidence.snapshot):
        return None
    owner = evidence.blocker.owner
    if owner.state not in ("ESTABLISHED", "SYN_SENT", "CLOSE_WAIT") or not evidence.processes:
        return None
    peer = next((s for s in evidence.connections() if s.state == owner.state), None)
    # A peer on a port of the range is as likely the client, and this what a server accepted.
    if peer is None or in_ephemeral_range(peer.peer_port or 0, evidence.snapshot):
        return None
    text = (
        f"{evidence.does('uses')} {request.port} as the source port of a connection"
        f" to {endpoint(peer.peer_address or '', peer.peer_port)}"
    )
    return Cause(CauseId.CLIENT_PORT, text), (
        Fix("wait for that connection to close; there is no need to stop the client", None),
        fixes.reserve(request.port, facts),
    )


def _flags_differ(evidence: Evidence) -> Explanation:
    owner, request = evidence.blocker.owner, evidence.request
    if owner.flags.reuseaddr is None and owner.flags.reuseport is None:
        text = f"{_leftover(evidence)}; whether the old sockets had SO_REUSEADDR is unknown"
        return Cause(CauseId.LEFTOVERS_FLAGS_UNKNOWN, text), (
            fixes.WAIT,
            Fix(
                "if the old sockets had the flag, setting it in the new server is enough",
                fixes.SET_IN_PYTHON,
            ),
        )
    if owner.flags.reuseaddr and not request.reuseaddr:
        text = f"{_leftover(evidence)}; SO_REUSEADDR is set there, and the new socket needs it too"
        return Cause(CauseId.REQUEST_LACKS_FLAG, text), (
            *fixes.set_reuseaddr(),
            fixes.WAIT,
        )
    destroyable = owner.state in WITHOUT_PROCESS and evidence.none_has_an_fd
    text = f"{_leftover(evidence)}, without SO_REUSEADDR: setting it now will not help this time"
    return Cause(_without_flag(evidence), text), (
        fixes.WAIT,
        *((fixes.destroy(owner.state, owner.address, request.port),) if destroyable else ()),
        *fixes.set_reuseaddr(later=True),
    )


def _without_flag(evidence: Evidence) -> CauseId:
    owner = evidence.blocker.owner
    if owner.mini:
        return CauseId.TIME_WAIT_NO_FLAG
    if owner.state in WITHOUT_PROCESS and evidence.without_fd:
        return CauseId.ORPHANS
    return CauseId.UNACCEPTED if _unaccepted(evidence) else CauseId.LEFTOVERS_NO_FLAG


def _leftover(evidence: Evidence) -> str:
    """What is left over, and why it is still there."""
    sockets = f"{evidence.what} on {evidence.where}"
    if _unaccepted(evidence):
        return f"{sockets} {_verb(evidence, 'waits')} in an accept queue"
    if evidence.blocker.owner.mini:
        seconds = evidence.blocker.frees_in_s
        return sockets if seconds is None else f"{sockets}, gone in {math.ceil(seconds)} s"
    if evidence.blocker.owner.state in WITHOUT_PROCESS and evidence.without_fd:
        return f"{sockets}, closed here but not yet by the peer"
    return f"{sockets}, still open{f' in {evidence.who}' if evidence.processes else ''}"


def _verb(evidence: Evidence, singular: str) -> str:
    return verb(evidence.blocker.count, singular)


def _unaccepted(evidence: Evidence) -> bool:
    return evidence.blocker.owner.state in ("ESTABLISHED", "CLOSE_WAIT") and evidence.without_fd


def _self_connected(evidence: Evidence) -> bool:
    return any(
        sock.state == evidence.blocker.owner.state
        and (sock.peer_address, sock.peer_port) == (sock.address, sock.port)
        for sock in evidence.connections()
    )


REST: Final[tuple[Finder, ...]] = (_connection, _native_ipv6, _flags_differ)
