"""Programs that start again what has ended: they have to stop it, not we.

A supervisor is told by the name of an ancestor, which may call itself anything: that is enough to
let a process be, and never to end one.
"""

from __future__ import annotations

import os.path
import re
from typing import Final

from sockwatch.bind.model import Fix
from sockwatch.bind.programs import LOGINS
from sockwatch.model import Ancestor, Process
from sockwatch.units import process_name

# What they are, and the command that stops what they run; {} is the supervisor's pid. Those that
# have a folder for each service have it as their working directory.
_COMMANDS: Final[dict[str, str | None]] = {
    "supervisord": "supervisorctl status",
    "runsv": 'sv down "$(readlink /proc/{}/cwd)"',
    "s6-supervise": 's6-svc -d "$(readlink /proc/{}/cwd)"',
    "supervise": 'svc -d "$(readlink /proc/{}/cwd)"',
    "supervise-daemon": "rc-status --supervised",
    "circusd": "circusctl status",
    "pm2": "pm2 list",
    "kubelet": None,
}
# Where the command lists what there is, and which one it is follows from that.
_THEN: Final = {
    "supervisord": "supervisorctl stop NAME, once this has shown which name has its pid",
    "supervise-daemon": "rc-service NAME stop, once this has shown the names",
    "circusd": "circusctl stop NAME, once this has shown the names",
    "pm2": "pm2 stop ID, once this has shown which id has its pid",
}
# What is above these is a supervisor of the login, not of what somebody starts there.
_APART: Final = LOGINS | {"login", "su", "sudo", "cron", "crond", "atd", "systemd"}
_POD: Final = re.compile(r"[a-z0-9][a-z0-9.-]*/[a-z0-9][a-z0-9.-]*")
_COMM_LENGTH: Final = 15


def supervisor_of(process: Process) -> Ancestor | None:
    """The nearest ancestor that starts it again; None if there is none, or that is not known."""
    for ancestor in process.ancestors or ():
        if _program(ancestor) in _COMMANDS:
            return ancestor
        if ancestor.name in _APART or os.path.basename(ancestor.executable or "") in _APART:
            return None
    return None


def let_it_stop(process: Process) -> Fix | None:
    """Stop the process in what supervises it; None if nothing does, as far as is seen.

    Only a person can: which of its names the process has, the supervisor alone knows.
    """
    pod = process.origin.pod if process.origin is not None else None
    if pod is not None:
        name = pod.name or ""
        text = f"stop {pod.label}: its kubelet would start what is ended again"
        if not _POD.fullmatch(name):
            return Fix(text)
        space, _, short = name.partition("/")
        return Fix(text, f"kubectl delete pod -n {space} {short}")
    supervisor = supervisor_of(process)
    if supervisor is None:
        return None
    program = _program(supervisor)
    who = process_name(supervisor.name, supervisor.pid)
    command = _COMMANDS[program]
    how = f": {_THEN[program]}" if program in _THEN else ""
    text = f"stop it in {who}, which would start it again{how}"
    return Fix(text, command and command.format(supervisor.pid))


def _program(ancestor: Ancestor) -> str:
    """What it is called here; its own name where that is not one of a supervisor."""
    if ancestor.name.startswith("PM2 "):  # its title: PM2 v5.3.0: God Daemon (/root/.pm2)
        return "pm2"
    executable = os.path.basename(ancestor.executable or "")
    names = [executable, ancestor.name]
    for known in _COMMANDS:
        if known in names or (len(known) > _COMM_LENGTH and known[:_COMM_LENGTH] in names):
            return known
    return ancestor.name
