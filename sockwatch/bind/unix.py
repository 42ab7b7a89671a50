"""Why a unix socket's name cannot be had: bind() fails if there is a file of any kind at the path.

unix_bind_bsd() and unix_bind_abstract() of net/unix/af_unix.c.
"""

from __future__ import annotations

import shlex

from sockwatch.bind import fixes
from sockwatch.bind.generations import eldest_first
from sockwatch.bind.model import Cause, Fix
from sockwatch.failure import Failure, UnixLook, UnixOwner
from sockwatch.model import Process
from sockwatch.units import process_name

Found = tuple[Cause | None, tuple[Fix, ...]]
NOTHING: Found = (None, ())


def explain_name(failure: Failure, look: UnixLook) -> Found:
    """The cause of an EADDRINUSE, and what to do; (None, ()) where what was seen does not say."""
    if failure.errno != "EADDRINUSE" or failure.unix is None or not look.seen:
        return NOTHING
    name = failure.address
    if look.owners:
        who, processes = _who(look.owners)
        verb = "listens on" if look.owners[0].state == "LISTEN" else "has bound"
        return Cause("unix-live", f"{who} {verb} {name}"), fixes.stop(processes)
    if failure.unix.is_abstract or look.kind is None:
        return NOTHING
    if look.kind == "socket" and look.is_alive is None:
        return NOTHING
    if look.is_alive:
        text = f"a socket that is alive is bound to {name}: of another network namespace"
        return Cause("unix-live", text), ()
    if look.kind == "socket":
        text = f"{name} is left of a socket that is gone: connect() to it is refused"
        return Cause("unix-stale", text), (
            Fix("remove the file; a server does so before bind()", f"rm {_quoted(name)}"),
        )
    text = f"{name} is there already and is no socket but a {look.kind}"
    return Cause("unix-other-file", text), (Fix("look what it is", f"ls -ld {_quoted(name)}"),)


def _who(owners: tuple[UnixOwner, ...]) -> tuple[str, list[Process]]:
    holders = eldest_first(holder for owner in owners for holder in owner.holders)
    processes = [holder.process for holder in holders if holder.process is not None]
    if not processes:
        return "a process that was not seen", []
    more = f" and {len(processes) - 1} more" if len(processes) > 1 else ""
    return f"{process_name(processes[0].name, processes[0].pid)}{more}", processes


def _quoted(name: str | None) -> str:
    return shlex.quote(name or "")
