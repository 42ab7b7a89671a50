"""Causes of a blocker that a process holds: a server, or a socket that is only bound."""

from __future__ import annotations

from typing import Final

from sockwatch.bind import fixes
from sockwatch.bind.accepting import queue_full
from sockwatch.bind.acts import EndProcesses
from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.clients import chosen_by_kernel, chosen_listener
from sockwatch.bind.evidence import Evidence, Explanation, Finder
from sockwatch.bind.halted import halted
from sockwatch.bind.kinship import relative, seen_of_holders
from sockwatch.bind.model import Cause, Fix
from sockwatch.bind.orphaned import orphaned
from sockwatch.bind.programs import NEVER_LISTEN, program
from sockwatch.bind.published import published
from sockwatch.bind.socket_units import systemd
from sockwatch.bind.unseen import no_holder
from sockwatch.model import INIT_PID
from sockwatch.units import process_name, spoken_duration, verb

WILDCARDS: Final = ("0.0.0.0", "::")  # noqa: S104 - compared with, never bound


def _inherited(evidence: Evidence) -> Explanation | None:
    """The server is gone: nothing that could have made the socket holds it."""
    processes = evidence.processes
    heirs = [process for process in processes if program(process) in NEVER_LISTEN]
    if len(heirs) < len(processes):
        return None
    text = f"{evidence.does('has')} the listening socket on {evidence.where} from a server that"
    names = " and ".join(dict.fromkeys(program(heir) for heir in heirs))
    seen = (f"{names} never {verb(len(heirs), 'listens')} by itself", "no other process holds it")
    signal = "KILL" if any(heir.ignores_sigterm for heir in heirs) else None
    stop = Fix(
        "stop what inherited it",
        fixes.kill(*(heir.pid for heir in heirs), signal=signal),
        act=EndProcesses(tuple(heirs), by_sigkill=signal is not None),
    )
    return Cause(CauseId.INHERITED_LISTENER, f"{text} is gone", seen), (
        *((stop,) if evidence.stop() else evidence.stop_or_leave()),
        fixes.CLOSE_ON_EXEC,
    )


def _reuseport(evidence: Evidence) -> Explanation | None:
    owner, request = evidence.blocker.owner, evidence.request
    if not request.reuseport:
        return None
    if owner.flags.reuseport is False:
        text = f"{evidence.does('has')} no SO_REUSEPORT on {evidence.where}: both sides need it"
        seen: tuple[str, ...] = (f"its flags were read by {owner.flags.source}",)
        return Cause(CauseId.REUSEPORT_MEMBER_WITHOUT, text, seen), (
            Fix("set SO_REUSEPORT before bind() on every socket of the group"),
            *evidence.stop_or_leave(),
        )
    uid = evidence.snapshot.facts.uid if request.uid is None else request.uid
    if owner.flags.reuseport and owner.uid is not None and uid is not None and owner.uid != uid:
        text = f"both have SO_REUSEPORT, but {evidence.where} belongs to uid {owner.uid}, not {uid}"
        seen = (f"sock_diag shows uid {owner.uid}", f"the new socket's is {uid}")
        return Cause(CauseId.REUSEPORT_OTHER_USER, text, seen), (
            Fix(f"run the new server as uid {owner.uid}"),
            *evidence.stop_or_leave(),
        )
    return None


def _old_generation(evidence: Evidence) -> Explanation | None:
    ends = evidence.sharing.ends
    # A parent that restarts a worker is one server all along.
    if ends is None or ends[0].parent_pid == ends[1].parent_pid != INIT_PID:
        return None
    oldest, youngest = ends
    # Different programs may share a port too, as mDNS responders do.
    if program(oldest) != program(youngest):
        return None
    age, since = (spoken_duration(evidence.snapshot.time - p.start_time) for p in ends)
    who = process_name(oldest.name, oldest.pid)
    text = f"an older generation still listens: {who}, started {age} ago"
    other = process_name(youngest.name, youngest.pid)
    seen = (f"{other}, started {since} ago, is the same program and has a socket of its own there",)
    return Cause(CauseId.LISTENER_OLD_GENERATION, text, seen), evidence.stop()


def _overlap(evidence: Evidence) -> Explanation | None:
    owner, request = evidence.blocker.owner, evidence.request
    if owner.address == request.address:
        return None
    has = evidence.does("has")
    if owner.address == "::" and request.family == "ipv4":
        text = f"{has} [::]:{request.port}, dual-stack: it covers {request.address} too"
        return Cause(CauseId.DUAL_STACK, text, seen_of_holders(evidence)), (
            Fix("set IPV6_V6ONLY in the IPv6 server (nginx: ipv6only=on)"),
            *evidence.stop_or_leave(),
        )
    if not {owner.address, request.address} & set(WILDCARDS):
        return None
    text = f"{has} {evidence.where}, and a wildcard overlaps every address"
    return Cause(CauseId.WILDCARD_OVERLAP, text, seen_of_holders(evidence)), (
        Fix("bind a specific address that is not taken"),
        *evidence.stop_or_leave(),
    )


def _listener(evidence: Evidence) -> Explanation:
    todo = evidence.stop_or_leave()
    does = evidence.does("listens" if evidence.request.protocol == "tcp" else "receives")
    text = f"{does} on {evidence.where}"
    if any(program(process) in NEVER_LISTEN for process in evidence.processes):
        todo = (*todo, fixes.CLOSE_ON_EXEC)
    return Cause(CauseId.LISTENER, text, seen_of_holders(evidence)), todo


def _bound_only(evidence: Evidence) -> Explanation:
    has = evidence.does("has")
    text = f"{has} bound {evidence.where} without listening; ss -ltn does not show it"
    return Cause(CauseId.BOUND_ONLY, text, seen_of_holders(evidence)), evidence.stop_or_leave()


# Asked in this order; the last of SERVER and of BOUND always explains.
HELD: Final[tuple[Finder, ...]] = (
    chosen_by_kernel,
    no_holder,
    systemd,
    published,
    halted,
    relative,
)
SERVER: Final[tuple[Finder, ...]] = (
    *HELD,
    _inherited,
    orphaned,
    _reuseport,
    _old_generation,
    queue_full,
    _overlap,
    chosen_listener,
    _listener,
)
BOUND: Final[tuple[Finder, ...]] = (*HELD, _bound_only)
