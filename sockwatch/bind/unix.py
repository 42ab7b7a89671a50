"""Why a unix socket's name cannot be had: bind() fails if there is a file of any kind at the path.

unix_bind_bsd() and unix_bind_abstract() of net/unix/af_unix.c.
"""

from __future__ import annotations

import shlex

from sockwatch.bind import fixes
from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.generations import eldest_first
from sockwatch.bind.model import Cause, Fix
from sockwatch.failure import Failure, UnixNameStatus, UnixOwner
from sockwatch.model import Process
from sockwatch.units import process_name, verb

NameExplanation = tuple[Cause | None, tuple[Fix, ...]]
UNEXPLAINED: NameExplanation = (None, ())


def explain_name(failure: Failure, status: UnixNameStatus) -> NameExplanation:
    """Return the cause of an EADDRINUSE and the fixes; (None, ()) if what was seen does not say."""
    if failure.errno != "EADDRINUSE" or failure.unix is None or not status.seen:
        return UNEXPLAINED
    name = failure.address
    if status.owners:
        who, processes = _who(status.owners)
        count = max(1, len(processes))
        if status.owners[0].state == "LISTEN":
            does = f"{verb(count, 'listens')} on"
        else:
            does = f"{verb(count, 'has')} bound"
        return Cause(CauseId.UNIX_LIVE, f"{who} {does} {name}"), fixes.stop(processes)
    if failure.unix.is_abstract or status.kind is None:
        return UNEXPLAINED
    if status.kind == "socket" and status.is_alive is None:
        return UNEXPLAINED
    if status.is_alive:
        text = f"a live socket of another network namespace is bound to {name}"
        return Cause(CauseId.UNIX_LIVE, text), ()
    if status.kind == "socket":
        text = f"{name} is stale: its socket is gone, and connect() to it is refused"
        return Cause(CauseId.UNIX_STALE, text), (
            Fix("remove the file, as a server should before bind()", f"rm {_quoted(name)}"),
        )
    kind = "a file of another kind" if status.kind == "other" else f"a {status.kind}"
    text = f"{name} exists and is not a socket but {kind}"
    return Cause(CauseId.UNIX_OTHER_FILE, text), (Fix("see what it is", f"ls -ld {_quoted(name)}"),)


def _who(owners: tuple[UnixOwner, ...]) -> tuple[str, list[Process]]:
    holders = eldest_first(holder for owner in owners for holder in owner.holders)
    processes = [holder.process for holder in holders if holder.process is not None]
    if not processes:
        return "a process that could not be seen", []
    more = f" and {len(processes) - 1} more" if len(processes) > 1 else ""
    return f"{process_name(processes[0].name, processes[0].pid)}{more}", processes


def _quoted(name: str | None) -> str:
    return shlex.quote(name or "")
