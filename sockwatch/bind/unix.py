"""Why a unix socket's name cannot be had: bind() fails if there is a file of any kind at the path.

unix_bind_bsd() and unix_bind_abstract() of net/unix/af_unix.c.
"""

from __future__ import annotations

import shlex
from typing import Final

from sockwatch.bind import fixes
from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.errnos import refused_by_policy
from sockwatch.bind.generations import eldest_first
from sockwatch.bind.model import Cause, Fix
from sockwatch.failure import Failure, FolderFault, UnixNameStatus, UnixOwner
from sockwatch.model import Process
from sockwatch.units import process_name, verb

NameExplanation = tuple[Cause | None, tuple[Fix, ...]]
UNEXPLAINED: NameExplanation = (None, ())

OWN_FOLDER = Fix("give it a folder of its own: RuntimeDirectory= in the systemd unit")
FOLDER_TEXTS: Final = {
    "ENOENT": "the directory {} does not exist",
    "ENOTDIR": "{} is not a directory",
    "EPERM": "the directory {} is immutable, or on a file system that has no sockets",
    "ELOOP": "{} leads through too many symbolic links, or to itself",
    "ENAMETOOLONG": "{} has a component that is too long",
    "EROFS": "the directory {} is on a file system that is read-only for it",
}
FOLDER_FIXES: Final = {
    "EACCES": (Fix("let that user write there"), OWN_FOLDER),
    "ENOENT": (Fix("make the directory before the program starts"), OWN_FOLDER),
    "EPERM": (Fix("choose a directory below /run"), OWN_FOLDER),
    "ENOTDIR": (Fix("correct the path"),),
    "ELOOP": (Fix("correct the symbolic link"),),
    "ENAMETOOLONG": (Fix("choose a shorter path"),),
    "EROFS": (
        Fix("choose a directory below /run, or ReadWritePaths= in the systemd unit"),
        OWN_FOLDER,
    ),
}


def explain_name(failure: Failure, status: UnixNameStatus) -> NameExplanation:
    """Return the cause and the fixes; (None, ()) if what was seen does not say."""
    if failure.errno in FOLDER_FIXES and status.seen:
        return _explain_folder(failure, status.fault)
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
        return Cause(CauseId.UNIX_STALE, text), (_remove(status),)
    kind = "a file of another kind" if status.kind == "other" else f"a {status.kind}"
    text = f"{name} exists and is not a socket but {kind}"
    see = None if status.path is None else f"ls -ld {shlex.quote(status.path)}"
    return Cause(CauseId.UNIX_OTHER_FILE, text), (Fix(f"see what it is{_where(status)}", see),)


def _explain_folder(failure: Failure, fault: FolderFault | None) -> NameExplanation:
    if fault is None or fault.errno != failure.errno:
        # No folder refuses: of the errnos, only these are a security policy's too.
        return refused_by_policy(failure) if failure.errno in ("EACCES", "EPERM") else UNEXPLAINED
    if fault.errno == "EACCES":
        does = "make files in" if fault.is_last else "pass through"
        text = (
            f"uid {failure.uid} may not {does} the directory {fault.path}: its owner is uid"
            f" {fault.uid}, its group gid {fault.gid}, its mode {fault.mode:04o}"
        )
    else:
        text = FOLDER_TEXTS[fault.errno].format(fault.path)
    return Cause(CauseId.UNIX_FOLDER, text), FOLDER_FIXES[fault.errno]


def _remove(status: UnixNameStatus) -> Fix:
    """Remove the stale file, by a command only if its name cannot be that of another file."""
    text = f"remove the file, as a server should before bind(){_where(status)}"
    return Fix(text, None if status.path is None else f"rm {shlex.quote(status.path)}")


def _where(status: UnixNameStatus) -> str:
    """Where the name of a file counts that has no name here, or none that can be printed."""
    if status.path is not None:
        return ""
    return ", by the name that the program has for it, in its mount namespace and root directory"


def _who(owners: tuple[UnixOwner, ...]) -> tuple[str, list[Process]]:
    holders = eldest_first(holder for owner in owners for holder in owner.holders)
    processes = [holder.process for holder in holders if holder.process is not None]
    if not processes:
        return "a process that could not be seen", []
    more = f" and {len(processes) - 1} more" if len(processes) > 1 else ""
    return f"{process_name(processes[0].name, processes[0].pid)}{more}", processes
