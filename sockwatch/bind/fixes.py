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


def set_reuseaddr(*, later: bool = False) -> tuple[Fix, ...]:
    """Lines of code; `later`: they help future restarts only."""
    when = f"{'for future restarts, ' if later else ''}set SO_REUSEADDR before bind()"
    return (Fix(f"{when}, in Python", SET_IN_PYTHON), Fix(f"{when}, in C", SET_IN_C))


def with_time(fixes: Iterable[Fix], seconds: float | None) -> tuple[Fix, ...]:
    """Put the number of seconds into WAIT; drop it if something stays."""
    text = None if seconds is None else f"wait {math.ceil(seconds)} s; the port is free then"
    return tuple(
        Fix(text, None) if fix is WAIT and text is not None else fix
        for fix in fixes
        if fix is not WAIT or text is not None
    )


def frees_in_s(blockers: Iterable[Blocker]) -> float | None:
    """Seconds until the last blocker has gone by itself; None if one of them never does."""
    seconds = [blocker.frees_in_s for blocker in blockers]
    finite = [each for each in seconds if each is not None]
    return max(finite) if finite and len(finite) == len(seconds) else None


def destroy(states: Sequence[str], port: int) -> Fix:
    """Destroy sockets without an fd; one with an fd would keep its port."""
    names = " ".join(f"state {state.lower().replace('_', '-')}" for state in states)
    names = names.replace("fin-wait1", "fin-wait-1").replace("fin-wait2", "fin-wait-2")
    return Fix(
        "or, as root, destroy the leftover sockets; no process holds them",
        f"ss -K -t {names} 'sport = :{port}'",
    )


def stop(processes: Sequence[Process]) -> tuple[Fix, ...]:
    """Stop every holder: by its unit if all have one, else by SIGTERM."""
    units = dict.fromkeys(p.unit for p in processes if p.unit and p.unit.endswith(".service"))
    if units and all(p.unit in units for p in processes):
        return tuple(
            Fix(f"stop {unit}", f"systemctl stop {shlex.quote(unit)}") for unit in units if unit
        )
    pids = " ".join(str(process.pid) for process in processes)
    whom = "it" if len(processes) == 1 else f"all {len(processes)} processes that hold it"
    return (Fix(f"stop {whom}, if that is acceptable", f"kill {pids}"),) if pids else ()


def reserve(port: int, facts: HostFacts) -> Fix:
    """Keep the kernel from choosing the port; ports reserved already stay reserved."""
    ranges = [*facts.reserved_ports, (port, port)]
    text = ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in ranges)
    return Fix(
        "as root, reserve the port, so that no outgoing connection gets it again",
        f"sysctl -w net.ipv4.ip_local_reserved_ports={text}",
    )


def run_as_root(verdict: Verdict) -> Fix:
    """Ask the same question as root, who may inspect every process."""
    request = verdict.request
    where = endpoint(request.address, request.port)
    udp = " --udp" if request.protocol == "udp" else ""
    return Fix("run this again as root", f"sudo sockwatch why {where}{udp}")


LOW_PORT = (
    Fix("in the systemd unit, set", "AmbientCapabilities=CAP_NET_BIND_SERVICE"),
    Fix("or, as root, give the program the capability", "setcap cap_net_bind_service=+ep PROGRAM"),
)
CLOSE_ON_EXEC = Fix(
    "in the server, set close-on-exec, so that children do not inherit it",
    "SOCK_CLOEXEC, or close_fds=True",
)
