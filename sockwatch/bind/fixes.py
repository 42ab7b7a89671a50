"""What to do about a cause, the safest first. Commands hold only numbers and quoted unit names."""

from __future__ import annotations

import math
import os.path
import shlex
import sys
from collections.abc import Iterable, Sequence
from typing import Final

from sockwatch.bind.model import Blocker, Fix, Verdict
from sockwatch.model import HostFacts, Process, Service
from sockwatch.units import endpoint

INIT_PID: Final = 1
WAIT = Fix("wait", None)
SS_STATES: Final = {  # as ss(8) names them
    "TIME_WAIT": "time-wait",
    "FIN_WAIT1": "fin-wait-1",
    "FIN_WAIT2": "fin-wait-2",
    "LAST_ACK": "last-ack",
    "CLOSING": "closing",
}
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


def destroy(state: str, address: str, port: int) -> Fix:
    """Destroy sockets without an fd on this address; one with an fd would keep its port."""
    return Fix(
        "or, as root, destroy the leftover sockets; no process holds them",
        shlex.join(["ss", "-K", "-t", "state", SS_STATES[state], "src", endpoint(address, port)]),
        in_netns=True,
    )


def stop(processes: Sequence[Process]) -> tuple[Fix, ...]:
    """Stop every holder: by its service where that is what holds the socket, else by SIGTERM."""
    pids = [process.pid for process in processes]
    services = dict.fromkeys(process.service for process in processes)
    if not pids or INIT_PID in pids:
        return ()
    # What a daemon has started lies in the daemon's cgroup, and is not the service itself.
    if all(service is not None and service.main_pid in pids for service in services):
        return tuple(_stop_service(service) for service in services if service is not None)
    whom = "it" if len(pids) == 1 else f"all {len(pids)} processes that hold it"
    return (Fix(f"stop {whom}, if that is acceptable", kill(*pids)),)


def _stop_service(service: Service) -> Fix:
    manager = [] if service.manager_uid is None else ["--user", f"--machine={service.manager_uid}@"]
    command = shlex.join(["systemctl", *manager, "stop", service.name])
    return Fix(f"stop {service.name}", command)


def kill(*pids: int, signal: str | None = None) -> str:
    """Write a command that signals them, with SIGTERM unless another signal is named."""
    return " ".join(["kill", *([f"-{signal}"] if signal else []), *map(str, pids)])


def reserve(port: int, facts: HostFacts) -> Fix:
    """Keep the kernel from choosing the port; ports reserved already stay reserved."""
    ranges = [*facts.reserved_ports, (port, port)]
    text = ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in ranges)
    return Fix(
        "as root, reserve the port, so that no outgoing connection gets it again",
        f"sysctl -w net.ipv4.ip_local_reserved_ports={text}",
        in_netns=True,
    )


def run_as_root(verdict: Verdict, caller_uid: int | None) -> Fix:
    """Ask the same question as root, who may inspect every process."""
    request = verdict.request
    flags = ["--udp"] if request.protocol == "udp" else []
    flags += [
        f"--{name}" for name in ("reuseaddr", "reuseport", "v6only") if getattr(request, name)
    ]
    uid = caller_uid if request.uid is None else request.uid
    flags += [] if uid is None else ["--uid", str(uid)]
    flags += [] if request.device is None else ["--device", request.device]
    words = ["why", endpoint(request.address, request.port), *flags]
    return Fix("run this again as root", shlex.join(["sudo", *_own_command(), *words]))


def _own_command() -> list[str]:
    """How to start this very sockwatch: sudo(8) has a PATH of its own."""
    program = sys.argv[0] if sys.argv else ""
    if os.path.basename(program) == "sockwatch":
        return [os.path.abspath(program)]
    return [sys.executable, "-I", "-m", "sockwatch"]


LOW_PORT = (
    Fix("in the systemd unit, set", "AmbientCapabilities=CAP_NET_BIND_SERVICE"),
    Fix("or, as root, give the program the capability", "setcap cap_net_bind_service=+ep PROGRAM"),
)
CLOSE_ON_EXEC = Fix(
    "in the server, set close-on-exec, so that children do not inherit it",
    "SOCK_CLOEXEC, or close_fds=True",
)
