"""What to do about a cause, the safest first. Commands hold only numbers and quoted unit names."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Sequence

from sockwatch.bind.model import Blocker, Fix, Verdict
from sockwatch.model import HostFacts, Process
from sockwatch.units import endpoint

WAIT = Fix("wait", None)
SET_IN_PYTHON = "sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)"
SET_IN_C = "setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));"


def set_reuseaddr(*, from_now_on: bool = False) -> tuple[Fix, ...]:
    """Lines of code; `from_now_on`: they do not help this once."""
    when = (
        "from the next start on set SO_REUSEADDR before bind()"
        if from_now_on
        else "set SO_REUSEADDR before bind()"
    )
    return (Fix(f"{when}, in Python", SET_IN_PYTHON), Fix(f"{when}, in C", SET_IN_C))


def with_time(fixes: Iterable[Fix], seconds: float | None) -> tuple[Fix, ...]:
    """WAIT becomes the time after which all is free, and goes where something stays."""
    text = None if seconds is None else f"wait {math.ceil(seconds)} s, then it is free"
    return tuple(
        Fix(text, None) if fix is WAIT and text is not None else fix
        for fix in fixes
        if fix is not WAIT or text is not None
    )


def frees_in_s(blockers: Iterable[Blocker]) -> float | None:
    """Until the last blocker has gone by itself; None if one of them does not."""
    times = [blocker.frees_in_s for blocker in blockers]
    known = [time for time in times if time is not None]
    return max(known) if known and len(known) == len(times) else None


def destroy(states: Sequence[str], port: int) -> Fix:
    """For sockets without an fd only: with one, the port would stay taken."""
    names = " ".join(f"state {state.lower().replace('_', '-')}" for state in states)
    names = names.replace("fin-wait1", "fin-wait-1").replace("fin-wait2", "fin-wait-2")
    return Fix(
        "or destroy what is left, as root: it belongs to no process any more",
        f"ss -K -t {names} 'sport = :{port}'",
    )


def stop(processes: Sequence[Process]) -> tuple[Fix, ...]:
    """End every holder: by its unit if it has one, else politely by pid."""
    units = dict.fromkeys(p.unit for p in processes if p.unit and p.unit.endswith(".service"))
    if units and all(p.unit in units for p in processes):
        return tuple(
            Fix(f"stop {unit}", f"systemctl stop {shlex.quote(unit)}") for unit in units if unit
        )
    pids = " ".join(str(process.pid) for process in processes)
    whom = "it" if len(processes) == 1 else f"all {len(processes)} processes that hold it"
    return (Fix(f"end {whom}, if it may end", f"kill {pids}"),) if pids else ()


def reserve(port: int, facts: HostFacts) -> Fix:
    """Keep the kernel from choosing the port by itself; what is reserved already stays so."""
    ranges = [*facts.reserved_ports, (port, port)]
    text = ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in ranges)
    return Fix(
        "reserve the port, so that no outgoing connection gets it again, as root",
        f"sysctl -w net.ipv4.ip_local_reserved_ports={text}",
    )


def look_as_root(verdict: Verdict) -> Fix:
    """Who holds it is hidden from this user."""
    request = verdict.request
    where = endpoint(request.address, request.port)
    udp = " --udp" if request.protocol == "udp" else ""
    return Fix("look again as root", f"sudo sockwatch why {where}{udp}")


LOW_PORT = (
    Fix("in the systemd unit", "AmbientCapabilities=CAP_NET_BIND_SERVICE"),
    Fix("or for the program's file, as root", "setcap cap_net_bind_service=+ep PROGRAM"),
)
CLOSE_ON_EXEC = Fix(
    "in the server, keep children from inheriting it: close-on-exec",
    "SOCK_CLOEXEC, or close_fds=True",
)
