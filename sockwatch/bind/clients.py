"""Causes of a blocker that is a client's: the source port of a connection, or a port it was given.

Who named the port tells (SOCK_BINDPORT_LOCK, include/net/sock.h): accept() never passes that on, so
a connection whose port bind() named is an outgoing one. One whose port the kernel chose was
accepted or is outgoing; the ports of both ends and the listeners decide, or nothing does.
"""

from __future__ import annotations

import math
from typing import Final

from sockwatch.bind import fixes
from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.evidence import Evidence, Explanation, in_ephemeral_range
from sockwatch.bind.model import Cause, Fix
from sockwatch.bind.overlap import classify, overlaps
from sockwatch.model import GapCode, Socket
from sockwatch.units import endpoint

LIVING: Final = ("ESTABLISHED", "SYN_SENT", "CLOSE_WAIT")
UNSEEN: Final = frozenset(
    {GapCode.HOLDERS_NOT_VISIBLE, GapCode.HOLDERS_NOT_PERMITTED, GapCode.SOCK_DIAG_REFUSED}
)


def self_connected(evidence: Evidence) -> Explanation | None:
    """A client that was given the port it was connecting to."""
    owner = evidence.blocker.owner
    if not any(
        (sock.peer_address, sock.peer_port) == (sock.address, sock.port)
        for sock in evidence.members()
    ):
        return None
    who = evidence.who if evidence.processes else "a client"
    text = f"{who} connected to itself: {evidence.where} is both ends of one connection"
    if owner.mini:
        todo: tuple[Fix, ...] = (fixes.WAIT,)
    else:
        todo = (Fix("let the client close that connection, or restart the client"),)
    return Cause(CauseId.SELF_CONNECT, text), (*todo, *_reserve(evidence))


def outgoing(evidence: Evidence) -> Explanation | None:
    """A connection of this host to elsewhere, or what is left of one."""
    owner, port = evidence.blocker.owner, evidence.request.port
    peer = _destination(evidence)
    if peer is None:
        return None
    to = endpoint(peer.peer_address or "", peer.peer_port)
    if owner.state not in LIVING:
        return _rest_of(evidence, to)
    whose = (
        "a connection" if evidence.request.protocol == "tcp" else "a UDP socket that is connected"
    )
    text = f"{_user(evidence)} {port} as the source port of {whose} to {to}"
    if owner.state == "CLOSE_WAIT":
        text += "; the peer has closed it, and the program has not"
        closing = Fix("close the connection in that program: it leaks; a restart does it too")
    elif evidence.request.protocol == "udp":
        closing = Fix(
            "wait until that socket is closed; there is no need to stop its program", None
        )
    else:
        closing = Fix(
            "wait for that connection to close; there is no need to stop the client", None
        )
    elsewhere = (
        (Fix(f"let the client use another source port: its bind() names {port}"),)
        if owner.automatic is False
        else ()
    )
    leak = evidence.stop() if owner.state == "CLOSE_WAIT" else ()
    return Cause(CauseId.CLIENT_PORT, text, _seen(evidence)), (
        closing,
        *leak,
        *elsewhere,
        *_reserve(evidence),
    )


def chosen_by_kernel(evidence: Evidence) -> Explanation | None:
    """A socket without a peer that asked for no port: a resolver's, or one about to connect."""
    if evidence.blocker.owner.automatic is not True or evidence.blocker.owner.state == "LISTEN":
        return None
    is_unseen, facts = not evidence.processes, evidence.snapshot.facts
    if is_unseen and not _may_be_hidden(evidence):
        return None  # the kernel's own, as of wireguard
    has = evidence.does("has") if evidence.processes else "a process that could not be seen has"
    how = "its first send" if evidence.request.protocol == "udp" else "connect()"
    text = (
        f"{has} {evidence.where} by the kernel's choice from ip_local_port_range, as a client has,"
        f" for {how} or a bind() to port 0"
    )
    return Cause(CauseId.CLIENT_PORT, text, _seen(evidence)), (
        Fix("wait until it closes that socket, or restart it: it gets another port then"),
        *_reserve(evidence),
        *((fixes.run_as_root(evidence.verdict, facts),) if is_unseen and facts.uid != 0 else ()),
    )


def chosen_listener(evidence: Evidence) -> Explanation | None:
    """A server that asked for any port, and was given this one."""
    if evidence.blocker.owner.automatic is not True or evidence.blocker.owner.state != "LISTEN":
        return None
    text = (
        f"{evidence.does('listens')} on {evidence.where}, which the kernel chose for it from"
        " ip_local_port_range: it asked for port 0"
    )
    return Cause(CauseId.LISTENER, text, _seen(evidence)), (
        *evidence.stop_or_leave(),
        *_reserve(evidence),
    )


def _rest_of(evidence: Evidence, to: str) -> Explanation | None:
    """What an outgoing connection left behind."""
    owner = evidence.blocker.owner
    if not evidence.blocker.without_fd or evidence.flags_to_set:
        return None
    seconds = evidence.blocker.frees_in_s
    clock = "" if seconds is None else f", gone in {math.ceil(seconds)} s"
    were = "was" if evidence.blocker.count == 1 else "were"
    text = (
        f"{evidence.blocker.what} on {evidence.where}{clock}: {were} an outgoing connection to"
        f" {to}, with {evidence.request.port} as its source port; no flag of the new server helps"
    )
    destroy = (
        (fixes.destroy(owner.state, owner.address, evidence.request.port),)
        if evidence.is_destroyable
        else ()
    )
    return Cause(CauseId.CLIENT_PORT, text, _seen(evidence)), (
        fixes.WAIT,
        *destroy,
        *_reserve(evidence),
    )


def _seen(evidence: Evidence) -> tuple[str, ...]:
    """Who named the port, or what the ports of both ends tell."""
    if evidence.blocker.owner.automatic is False:
        return (
            "its bind() named the port (SOCK_BINDPORT_LOCK), and accept() never passes that on",
        )
    if evidence.request.protocol == "udp" or evidence.blocker.owner.state in ("LISTEN", "BOUND"):
        return ("no bind() named the port (SOCK_BINDPORT_LOCK is off)",)
    if evidence.blocker.owner.state == "SYN_SENT":
        return ("it is in SYN_SENT, as only a client is",)
    return (
        f"{evidence.request.port} is in ip_local_port_range and its peer's port is not",
        "no listener has its address",
    )


def _destination(evidence: Evidence) -> Socket | None:
    """One of the blocker's sockets, with its peer, if they are known to be outgoing."""
    owner = evidence.blocker.owner
    connected = [sock for sock in evidence.members() if sock.peer_port is not None]
    if not connected:
        return None
    if owner.state == "SYN_SENT" or owner.automatic is False or evidence.request.protocol == "udp":
        return connected[0]
    if _accepted_by_a_listener(evidence):
        return None
    if not in_ephemeral_range(evidence.request.port, evidence.snapshot):
        return None
    # A peer on a port of the range is as likely the client, and this what a server accepted.
    if any(in_ephemeral_range(sock.peer_port or 0, evidence.snapshot) for sock in connected):
        return None
    return connected[0]


def _accepted_by_a_listener(evidence: Evidence) -> bool:
    """Whether a listener of the port may have accepted it."""
    owner = evidence.blocker.owner
    mine = classify(owner.family, owner.address, owner.v6only is True, bound=True)
    return any(
        overlaps(mine, classify(sock.family, sock.address, sock.v6only is True), "tcp")
        for sock in evidence.port.listeners
    )


def _user(evidence: Evidence) -> str:
    """``curl(77) uses``, ``the kernel itself uses``."""
    if evidence.blocker.holders and evidence.processes:
        return evidence.does("uses")
    if evidence.blocker.without_fd or _may_be_hidden(evidence):
        return "a program uses"
    return "the kernel itself, as for NFS, uses"


def _may_be_hidden(evidence: Evidence) -> bool:
    return not UNSEEN.isdisjoint(gap.code for gap in evidence.snapshot.gaps)


def _reserve(evidence: Evidence) -> tuple[Fix, ...]:
    """Reserving helps where the kernel chose, or may have chosen, and may choose again."""
    port, snapshot = evidence.request.port, evidence.snapshot
    chosen = evidence.blocker.owner.automatic is not False
    if not chosen or not in_ephemeral_range(port, snapshot):
        return ()
    return (fixes.reserve(port, snapshot.facts),)
