"""What a restart would get: a sentence, and a cell of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sockwatch.bind import Blocker, RestartVerdict
from sockwatch.bind.generations import eldest_first
from sockwatch.model import GapCode, Socket
from sockwatch.units import UNKNOWN, clock, endpoint, plural, process_name, spoken_clock, verb
from sockwatch.view.names import holder_name

AT_ONCE: Final = "will bind at once"
NO_SERVER: Final = "-"
UNANSWERED: Final = frozenset({"FIN_WAIT1", "LAST_ACK", "CLOSING"})


def restart_cell(said: RestartVerdict | None) -> str:
    """``ok``; ``60s`` until it is; ``no``; ``?`` if it depends; ``-`` without a server."""
    if said is None:
        return NO_SERVER
    if said.verdict.outcome == "ok":
        return "ok"
    if "depends" in (said.bind, said.listen):
        return UNKNOWN
    return "no" if said.frees_in_s is None else clock(said.frees_in_s)


def restart_text(said: RestartVerdict, *, server_is_gone: bool = False) -> str:
    """One sentence, without a subject: ``will bind at once``, ``will fail: ...``.

    If the server is gone, a restart comes before what it has left ends: the sentence says which.
    """
    if (manager := said.passed_on_by) is not None:
        return f"needs no bind(): {process_name(manager.name, manager.pid)} keeps the socket"
    if said.verdict.outcome == "ok":
        return f"{AT_ONCE}{_after(said) if server_is_gone else ''}{_passed(said)}"
    if said.bind == "depends":
        return f"depends on {_unknown(said)}"
    if said.verdict.reason is not None:
        text = said.verdict.reason.text.removesuffix(".")
        return f"will fail with {said.bind}: {text[0].lower()}{text[1:]}"
    kept = [blocker for blocker in said.verdict.blockers if blocker.holders]
    if kept:
        return f"will fail: {_kept(said, min(kept, key=lambda blocker: not blocker.certain))}"
    return f"will fail{_until(said)}: {_left(said)}"


def _after(said: RestartVerdict) -> str:
    if not said.ends:
        return ""
    first, *others = (process_name(process.name, process.pid) for process in said.ends)
    who = f"{first} and {len(others)} more" if others else first
    return f" after {who} {verb(len(said.ends), 'has')} ended"


def _passed(said: RestartVerdict) -> str:
    """By what the new socket passes everything that is left, if that is SO_REUSEADDR."""
    flags = (said.time_wait.reuseaddr, said.connections)
    if not said.verdict.request.reuseaddr or any(f.no or f.unknown for f in flags):
        return ""
    names = ("TIME_WAIT", "TIME_WAIT"), ("open connection", "open connections")
    left = [plural(f.yes, *name) for f, name in zip(flags, names, strict=True) if f.yes]
    if not left:
        return ""
    both = "both" if len(left) == 1 else "all"
    return f": its {', '.join(left)} and the new socket {both} have SO_REUSEADDR"


def _unknown(said: RestartVerdict) -> str:
    unknown = dict.fromkeys(condition.unknown for condition in said.verdict.conditions)
    if "port memory" in unknown:
        return "whether the kernel remembers that the server had SO_REUSEPORT"
    flags = sorted(name for name in unknown if name.startswith("SO_"))
    if flags:
        return f"{' and '.join(flags)}, which could not be read"
    if any(gap.code == GapCode.FATE_UNSEEN for gap in said.verdict.gaps):
        return "sockets that may not go together with the server"
    return "what could not be seen"


def _kept(said: RestartVerdict, blocker: Blocker) -> str:
    """Who keeps what."""
    ending = {process.pid for process in said.ends}
    holders = eldest_first(holder for holder in blocker.holders if holder.pid not in ending)
    who, *others = holders
    name = f"{holder_name(who)} and {len(others)} more" if others else holder_name(who)
    owner = blocker.owner
    if not isinstance(owner, Socket):
        return f"{name} {verb(len(holders), 'keeps')} {plural(blocker.count, 'connection')} open"
    if any(holder.pid in ending for holder in blocker.holders):
        what = "listening socket" if owner.state == "LISTEN" else "socket"
        return f"{name} {verb(len(holders), 'keeps')} the {what}"
    where = endpoint(owner.address, owner.port)
    return f"{name} {verb(len(holders), 'has')} {where} too"


def _until(said: RestartVerdict) -> str:
    """How long, with a space before it; empty if nobody knows."""
    blockers = said.verdict.blockers
    if said.frees_in_s is None:
        lasting = [blocker.owner.state for blocker in blockers if blocker.frees_in_s is None]
        return " until their peers answer" if UNANSWERED.issuperset(lasting) else ""
    if any(blocker.may_last_longer for blocker in blockers):
        return f" for {spoken_clock(said.frees_in_s)} at least"
    return f" for up to {spoken_clock(said.frees_in_s)}"


def _left(said: RestartVerdict) -> str:
    """What is left without a process, and which flag it lacks."""
    blockers = said.verdict.blockers
    opened = sum(b.count for b in blockers if not b.owner.mini and b.frees_in_s is not None)
    if opened:
        text = f"{plural(opened, 'open connection')} will be left in TIME_WAIT"
    else:
        text = _states(blockers)
    if said.verdict.request.reuseaddr or not all(b.owner.flags.reuseaddr for b in blockers):
        return f"{text} without SO_REUSEADDR"
    return f"{text}, and the server does not set SO_REUSEADDR"


def _states(blockers: Sequence[Blocker]) -> str:
    counts: dict[str, int] = {}
    for blocker in blockers:
        counts[blocker.owner.state] = counts.get(blocker.owner.state, 0) + blocker.count
    return " and ".join(f"{count} {state}" for state, count in counts.items())
