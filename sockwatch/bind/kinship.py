"""How the holders of a socket are related: to it, to each other, and to the process that fails."""

from __future__ import annotations

from collections.abc import Iterator

from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.evidence import Evidence, Explanation
from sockwatch.bind.generations import ONE_START_S
from sockwatch.bind.model import Cause, Fix
from sockwatch.bind.programs import NEVER_LISTEN, program
from sockwatch.model import Process
from sockwatch.units import process_name, spoken_duration


def seen_of_holders(evidence: Evidence) -> tuple[str, ...]:
    """What shows that these processes hold the blocker, for a cause that blames them."""
    return tuple(_seen(evidence))


def _seen(evidence: Evidence) -> Iterator[str]:
    first = evidence.processes[0]
    fd = next(holder.fd for holder in evidence.blocker.holders if holder.pid == first.pid)
    count = len(evidence.sharing.owners)
    if count > 1:
        yield f"{count} sockets share the address"
    else:
        age = spoken_duration(evidence.snapshot.time - first.start_time)
        yield f"{_name(first)} of user {first.user}, started {age} ago, has it as fd {fd}"
        yield from _seen_of_others(evidence.processes)
    failing = evidence.failing
    if failing is not None and _is_same_program(first, failing):
        yield f"both are {first.executable}"


def _seen_of_others(processes: list[Process]) -> Iterator[str]:
    """Those that run another program than the first one: on purpose, or by a leak."""
    first, *others = processes
    for other in others:
        if program(other) in NEVER_LISTEN:
            yield f"{_name(other)}, which never listens by itself, has inherited it"
        elif program(other) != program(first):
            of = f", a child of {_name(first)}," if other.parent_pid == first.pid else ""
            yield f"{_name(other)}{of} has it too"


def relative(evidence: Evidence) -> Explanation | None:
    """The failing process has the socket too, or its program does, started together with it.

    Ending the holder would end the failing program as well: it has to bind once.
    """
    failing = evidence.failing
    if failing is None:
        return None
    others = [process for process in evidence.processes if process.pid != failing.pid]
    sharing = {holder.pid for holder in evidence.owner_holders}
    first = next((process for process in others if process.pid in sharing), None)
    if first is not None and failing.pid in sharing:
        text = (
            f"{_name(first)} has {evidence.where}, and {_name(failing)}, which fails, has the same"
            " socket already"
        )
        return Cause(CauseId.SAME_PROGRAM, text, ("both have an fd of it",)), (
            Fix("use the inherited socket, instead of another one"),
        )
    for other in others:
        relation = _relation(other, failing)
        if relation is not None:
            text = f"{_name(other)} has {evidence.where}: the same program binds it twice"
            seen = (f"both are {other.executable}", relation)
            return Cause(CauseId.SAME_PROGRAM, text, seen), (
                Fix("bind it once: in the parent alone, or in one child alone"),
            )
    return None


def _relation(holder: Process, failing: Process) -> str | None:
    """How the two belong to one start of one program; None if they do not."""
    if not _is_same_program(holder, failing):
        return None
    if failing.parent_pid == holder.pid:
        return f"{holder.pid} is the parent"
    if holder.parent_pid == failing.pid:
        return f"{failing.pid} is the parent"
    together = abs(holder.start_time - failing.start_time) <= ONE_START_S
    if together and holder.parent_pid == failing.parent_pid and holder.command == failing.command:
        return f"{holder.parent_pid} has just started both"
    return None


def _is_same_program(one: Process, other: Process) -> bool:
    return one.executable is not None and one.executable == other.executable


def _name(process: Process) -> str:
    return process_name(process.name, process.pid)
