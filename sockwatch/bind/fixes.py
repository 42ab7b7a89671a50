"""What to do about a cause, the safest first. Commands hold only numbers and quoted unit names."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Sequence
from typing import Final

from sockwatch.bind.acts import DestroySockets, EndProcesses, Resume, StopUnits, WaitForClocks
from sockwatch.bind.contained import stop_container_of
from sockwatch.bind.model import Blocker, Fix, FlagName, Step, Verdict
from sockwatch.bind.programs import serves_others, why_it_stays
from sockwatch.bind.supervisors import let_it_stop
from sockwatch.model import HaltKind, HostFacts, Process, Service
from sockwatch.units import endpoint, process_name

NO_FACTS: Final = HostFacts()
WAIT = Fix("wait", act=WaitForClocks())
SS_STATES: Final = {  # as ss(8) names them
    "TIME_WAIT": "time-wait",
    "FIN_WAIT1": "fin-wait-1",
    "FIN_WAIT2": "fin-wait-2",
    "LAST_ACK": "last-ack",
    "CLOSING": "closing",
}


def set_flags(*flags: FlagName, step: Step = "or") -> Fix:
    """Set reuse flags in the program."""
    return Fix(f"set {' and '.join(flags)} before bind()", options=flags, step=step)


def with_time(
    fixes: Iterable[Fix], seconds: float | None, *, at_least: bool = False
) -> tuple[Fix, ...]:
    """Put the number of seconds into WAIT; drop it if something stays.

    `at_least`: the peer may still add a minute, by closing its side of a FIN_WAIT2.
    """
    if seconds is None:
        return tuple(fix for fix in fixes if fix.text != WAIT.text)
    text = f"wait {math.ceil(seconds)} s; the port is free then"
    if at_least:
        text = f"wait {math.ceil(seconds)} s at least; 60 s longer if a peer closes meanwhile"
    return tuple(fix._replace(text=text) if fix.text == WAIT.text else fix for fix in fixes)


def one_after_the_other(explained: Iterable[tuple[Fix, ...]]) -> tuple[Fix, ...]:
    """Join the fixes of several blockers, each of which has to go."""
    todo: dict[tuple[str, str | None], Fix] = {}
    for fixes in explained:
        one = {(fix.text, fix.command): fix for fix in fixes}
        if todo and one and not one.keys() & todo.keys() and fixes[0].step == "or":
            one[next(iter(one))] = fixes[0]._replace(step="then")
        for key, fix in one.items():
            todo.setdefault(key, fix)
    return tuple(todo.values())


def frees_in_s(blockers: Iterable[Blocker]) -> float | None:
    """Seconds until the last blocker has gone by itself; None if one of them never does."""
    seconds = [blocker.frees_in_s for blocker in blockers]
    finite = [each for each in seconds if each is not None]
    return max(finite) if finite and len(finite) == len(seconds) else None


def destroy(state: str, address: str, port: int) -> Fix:
    """Destroy sockets without an fd on this address; one with an fd would keep its port."""
    return Fix(
        "as root, destroy the leftover sockets; no process holds them",
        shlex.join(["ss", "-K", "-t", "state", SS_STATES[state], "src", endpoint(address, port)]),
        in_netns=True,
        act=DestroySockets(state, address),
    )


def stop(
    processes: Sequence[Process],
    failing: Process | None = None,
    facts: HostFacts = NO_FACTS,
) -> tuple[Fix, ...]:
    """Stop every holder: by its container or its service where that is what holds the socket.

    Else by what supervises it, else by SIGTERM. Nothing where one of them has to stay: what runs
    services, containers or logins, and the ancestors of the asker. `failing`, the process whose
    call was refused, is not stopped. `facts` are the asker's.
    """
    processes = _to_be_ended(processes, failing, facts.ancestors)
    if (by_container := _by_container(processes, failing, facts)) is not None:
        return (by_container,)
    pids = [process.pid for process in processes]
    services = dict.fromkeys(process.service for process in processes)
    # What a daemon has started lies in the daemon's cgroup, and is not the service itself.
    is_its_own = all(service is not None and service.main_pid in pids for service in services)
    # Stopping the service that fails would end both.
    if pids and is_its_own and not (failing and failing.service in services):
        return tuple(
            _systemctl("stop", service)._replace(act=_stop_service(service, processes))
            for service in services
            if service is not None
        )
    by_supervisors = tuple(dict.fromkeys(filter(None, map(let_it_stop, processes))))
    if by_supervisors:
        return tuple(
            fix._replace(step="then") if index else fix for index, fix in enumerate(by_supervisors)
        )
    return _by_signal(processes)


def _by_container(
    processes: Sequence[Process], failing: Process | None, facts: HostFacts
) -> Fix | None:
    """Stop the container of all of them; None if they have none, or it would end what fails."""
    origins = [process.origin for process in processes if process.origin is not None]
    if any(origin.pod for origin in origins):  # its kubelet would start the container again
        return None
    own = failing.origin.container if failing is not None and failing.origin is not None else None
    if own is not None and any(origin.container == own for origin in origins):
        return None
    return stop_container_of(processes, facts.uid)


def end(
    processes: Sequence[Process],
    failing: Process | None = None,
    facts: HostFacts = NO_FACTS,
) -> tuple[Fix, ...]:
    """Stop every holder by SIGTERM, in this order, whatever service it is in. Else as stop().

    A service without its main process is not active: then systemctl(1) stops nothing of it.
    """
    return _by_signal(_to_be_ended(processes, failing, facts.ancestors))


def _by_signal(processes: Sequence[Process]) -> tuple[Fix, ...]:
    deaf = [process for process in processes if process.ignores_sigterm]
    others = [process for process in processes if not process.ignores_sigterm]
    todo: tuple[Fix, ...] = ()
    if others:
        whom = "it" if len(others) == 1 else f"all {len(others)} processes that hold it"
        text = f"stop {_names(others) if deaf else whom}, if that is acceptable"
        command = kill(*(process.pid for process in others))
        act = EndProcesses(tuple(others))
        todo = (Fix(text + restarted_by(others), command, act=act), *_resume(others))
    if deaf:
        text = f"end {_names(deaf)} by SIGKILL, if that is acceptable: SIGTERM is ignored"
        if any(process.is_first for process in deaf):
            text += ", and a pid namespace ends with its first process"
        command = kill(*(process.pid for process in deaf), signal="KILL")
        act = EndProcesses(tuple(deaf), by_sigkill=True)
        step: Step = "then" if todo else "or"
        todo += (Fix(text + restarted_by(deaf), command, step=step, act=act),)
    return todo


def _names(processes: Iterable[Process]) -> str:
    return " and ".join(process_name(process.name, process.pid) for process in processes)


def _to_be_ended(
    processes: Sequence[Process], failing: Process | None, ancestors: frozenset[int]
) -> list[Process]:
    others = [process for process in processes if failing is None or process.pid != failing.pid]
    stay = any(serves_others(each) or why_it_stays(each, ancestors) for each in others)
    return [] if stay else others


def leave(processes: Sequence[Process], ancestors: frozenset[int]) -> tuple[Fix, ...]:
    """Say of the first that has to stay why it does."""
    for process in processes:
        if reason := why_it_stays(process, ancestors):
            who = process_name(process.name, process.pid)
            return (Fix(f"leave {who} running: {reason}; choose another port"),)
    return ()


def _resume(processes: Sequence[Process]) -> tuple[Fix, ...]:
    """A stopped process does not see SIGTERM, signal(7)."""
    stopped = [p for p in processes if p.halt is not None and p.halt.kind == HaltKind.STOPPED]
    if not stopped:
        return ()
    text = "resume what is stopped, which sees the signal only then"
    command = kill(*(process.pid for process in stopped), signal="CONT")
    return (Fix(text, command, step="then", act=Resume(tuple(stopped))),)


def _stop_service(service: Service, processes: Iterable[Process]) -> StopUnits:
    ending = tuple(process for process in processes if process.service == service)
    return StopUnits((service.name,), service.manager_uid, ending)


def restarted_by(processes: Iterable[Process]) -> str:
    """Who may start them again: a service that they are not themselves, or a container."""
    origins = (p.origin for p in processes if p.origin and not (p.unit or "").endswith(".scope"))
    labels = dict.fromkeys(origin.label for origin in origins)
    return f"; {' or '.join(labels)} may start it again" if labels else ""


def restart(processes: Sequence[Process]) -> tuple[Fix, ...]:
    """Restart the service that the processes are; nothing if they are no service."""
    services = {process.service for process in processes}
    service = services.pop() if len(services) == 1 else None
    if service is None or service.main_pid not in {process.pid for process in processes}:
        return ()
    return (_systemctl("restart", service),)


def _systemctl(verb: str, service: Service) -> Fix:
    # A user may name a cgroup, and so a service, as an option: -Hroot@evil.service.
    end_of_options = ["--"] if service.name.startswith("-") else []
    words = (verb, *end_of_options, service.name)
    return Fix(f"{verb} {service.name}", systemctl(service.manager_uid, *words))


def systemctl(manager_uid: int | None, *words: str) -> str:
    """The command for the manager of that user; None means the system's."""
    return shlex.join(systemctl_words(manager_uid, *words))


def systemctl_words(manager_uid: int | None, *words: str) -> tuple[str, ...]:
    """The words of that command."""
    manager = () if manager_uid is None else ("--user", f"--machine={manager_uid}@")
    return ("systemctl", *manager, *words)


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


def run_as_root(verdict: Verdict, facts: HostFacts, command: str = "why") -> Fix:
    """Run the same command as root, who may inspect and end every process."""
    request = verdict.request
    flags = ["--udp"] if request.protocol == "udp" else []
    flags += [
        f"--{name}"
        for name in ("reuseaddr", "reuseport", "v6only", "freebind")
        if getattr(request, name)
    ]
    uid = facts.uid if request.uid is None else request.uid
    flags += [] if uid is None else ["--uid", str(uid)]
    flags += [] if request.device is None else ["--device", request.device]
    words = [command, endpoint(request.address, request.port), *flags]
    sudo = shlex.join(["sudo", *facts.own_command, *words])
    return Fix("run this again as root", sudo, in_netns=True)


LOW_PORT = (
    Fix("in the systemd unit, set AmbientCapabilities=CAP_NET_BIND_SERVICE"),
    Fix("as root, give its file that capability: cap_net_bind_service=+ep, by setcap"),
)
LOW_PORT_ELSEWHERE = (
    Fix("run it without a user namespace of its own: PrivateUsers=no in a systemd unit"),
    Fix(
        "let every program use the port: as root of the user namespace that the network"
        " namespace belongs to, lower net.ipv4.ip_unprivileged_port_start"
    ),
)
CLOSE_ON_EXEC = Fix(
    "in the server, set close-on-exec (SOCK_CLOEXEC, or close_fds=True), so that children do not"
    " inherit it",
    step="later",
)
