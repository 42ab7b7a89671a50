"""What a plan refuses to do, and why: what has to stay, and what cannot be stopped safely."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sockwatch.act.model import Refusal, RefusalCode
from sockwatch.bind.acts import Act, DestroySockets, EndProcesses, StopUnits, WaitForClocks
from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.generations import eldest_first
from sockwatch.bind.model import Blocker
from sockwatch.bind.programs import why_untouchable
from sockwatch.bind.supervisors import let_it_stop
from sockwatch.model import HostFacts, Port, Process
from sockwatch.units import process_name

CLIENTS: Final = frozenset({CauseId.CLIENT_PORT, CauseId.SELF_CONNECT})


def refusal(
    blocker: Blocker,
    port: Port | None,
    acts: Sequence[Act],
    ends: Sequence[Process],
    facts: HostFacts,
) -> Refusal | None:
    """Why nothing is done about the blocker; None if its way may be gone.

    `acts` are those of its way, `ends` the processes that they end.
    """
    cause = blocker.cause
    said = cause.text if cause is not None else blocker.rule.text
    only_waits = bool(acts) and all(isinstance(act, WaitForClocks) for act in acts)
    if only_waits:
        return None
    if cause is not None and cause.id in CLIENTS and not blocker.without_fd:
        return Refusal(RefusalCode.CLIENT, said, _first(blocker))
    if not blocker.certain:
        text = f"{said}; whether that is in the way is not known"
        return Refusal(RefusalCode.NOT_CERTAIN, text, _first(blocker))
    if not all(isinstance(act, DestroySockets | WaitForClocks) for act in acts):
        for process in ends:
            if reason := why_untouchable(process, facts):
                who = process_name(process.name, process.pid)
                return Refusal(RefusalCode.PROTECTED, f"{who} stays: {reason}", process)
        if any(_ends_us(act, facts) for act in acts):
            text = f"{said}; this sockwatch runs in that unit"
            return Refusal(RefusalCode.PROTECTED, text, _first(blocker))
        if _carries_session(port, facts):
            text = f"{said}; your own session runs through this port"
            return Refusal(RefusalCode.SESSION, text, _first(blocker))
    if acts:
        return _not_permitted(acts, ends, said, facts.uid)
    for holder in eldest_first(blocker.holders):
        if holder.process and (reason := why_untouchable(holder.process, facts)):
            who = process_name(holder.process.name, holder.pid)
            text = f"{said}; {who} stays: {reason}"
            return Refusal(RefusalCode.PROTECTED, text, holder.process)
    if any(h.process is not None and let_it_stop(h.process) for h in blocker.holders):
        text = f"{said}; what supervises it would start it again"
        return Refusal(RefusalCode.SUPERVISED, text, _first(blocker))
    code = RefusalCode.BY_HAND if _first(blocker) else RefusalCode.UNSEEN
    return Refusal(code, said, _first(blocker))


def _not_permitted(
    acts: Sequence[Act], ends: Sequence[Process], said: str, uid: int | None
) -> Refusal | None:
    """That an ordinary user may not carry it out; whom a manager lets stop it, it decides."""
    if not uid:
        return None
    for act in acts:
        if isinstance(act, StopUnits) and act.manager_uid not in (None, uid):
            return Refusal(RefusalCode.NOT_PERMITTED, f"{said}; that is another user's", None)
    if any(isinstance(act, EndProcesses) for act in acts):
        for process in ends:
            if process.uid != uid:
                who = process_name(process.name, process.pid)
                text = f"{who} belongs to {process.user}, and only root may end it"
                return Refusal(RefusalCode.NOT_PERMITTED, text, process)
    return None


def _first(blocker: Blocker) -> Process | None:
    """The process that stands for all that hold it; None if none was seen."""
    return next((h.process for h in eldest_first(blocker.holders) if h.process), None)


def _ends_us(act: Act, facts: HostFacts) -> bool:
    """Whether it stops the unit that we run in."""
    if facts.service is None or not isinstance(act, StopUnits):
        return False
    return facts.service.name in act.units and facts.service.manager_uid == act.manager_uid


def _carries_session(port: Port | None, facts: HostFacts) -> bool:
    """Whether the caller's own session comes in through the port."""
    if port is None:
        return False
    if (port.protocol, port.number) == ("tcp", facts.login_port):
        return True
    holders = (holder.pid for group in port.groups for holder in group.holders)
    return any(pid in facts.ancestors for pid in holders)
