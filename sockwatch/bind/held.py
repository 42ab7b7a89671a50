"""Causes of a blocker that a process holds: a server, or a socket that is bound only."""

from __future__ import annotations

import os.path
import re
from typing import Final

from sockwatch.bind import fixes
from sockwatch.bind.case import Case, Finder, Found
from sockwatch.bind.generations import first_and_last, members
from sockwatch.bind.model import Cause, Fix
from sockwatch.model import Process
from sockwatch.units import process_name, spoken_duration

# Programs that never listen by themselves: with a listening socket, they inherited it.
NEVER_LISTEN: Final = frozenset(
    {"sh", "bash", "dash", "zsh", "ash", "sleep", "cat", "tail", "tee", "gzip", "xargs"}
    | {"timeout", "nohup", "script", "less", "mpv"}
)
WILDCARDS: Final = ("0.0.0.0", "::")  # noqa: S104 - addresses in question, nothing is bound


def _no_holder(case: Case) -> Found | None:
    if case.processes:
        return None
    uid = case.blocker.owner.uid
    whose = f"a process of uid {uid}" if uid is not None else "a process"
    hidden = any(gap.code.startswith(("holders-", "sock-diag")) for gap in case.snapshot.gaps)
    if hidden:
        text = f"{whose} that you may not see has {case.where}"
        return Cause("holder-not-visible", text), (fixes.look_as_root(case.verdict),)
    if case.request.protocol == "udp" and uid == 0:
        text = f"no process holds {case.where}: it is the kernel's own (vxlan, wireguard, nfs)"
        return Cause("kernel-socket", text), (
            Fix("find the interface that has it", "ip -d link show"),
        )
    text = (
        f"no fd anywhere holds {case.where}: a blocked accept(), io_uring, an fd in flight between"
        " two processes, or the kernel itself"
    )
    return Cause("no-fd-anywhere", text), (
        Fix("look for a thread that waits in accept()", "grep -l accept /proc/*/task/*/wchan"),
        Fix("look for sockets in flight", "grep -l scm_fds /proc/*/fdinfo/*"),
        Fix("in the server: shutdown() before close()", None),
    )


def _stopped(case: Case) -> Found | None:
    pids = [process.pid for process in case.processes if process.state in "Tt"]
    if not pids:
        return None
    text = f"{case.who} is stopped (state T): it keeps {case.where} and answers nobody"
    return Cause("holder-stopped", text), (
        Fix("let it go on; a polite kill has no effect before", f"kill -CONT {_joined(pids)}"),
    )


def _uninterruptible(case: Case) -> Found | None:
    if not any(process.state == "D" for process in case.processes):
        return None
    text = f"{case.who} is stuck in the kernel (state D): it cannot end before its I/O does"
    return Cause("holder-uninterruptible", text), (
        Fix("cure the disk or mount it waits for", None),
    )


def _systemd(case: Case) -> Found | None:
    if not any(p.pid == 1 and p.name.startswith("systemd") for p in case.processes):
        return None
    services = {p.unit for p in case.processes if p.unit and p.unit.endswith(".service")}
    name = f": {services.pop().removesuffix('.service')}.socket" if len(services) == 1 else ""
    text = f"systemd (pid 1) listens on {case.where} for a socket unit{name}"
    show = Fix("find the unit by its address", "systemctl list-sockets --all")
    if not name:
        return Cause("systemd-socket", text), (show,)
    stop = Fix(
        "stop the socket unit; stopping the service is not enough", f"systemctl stop{name[1:]}"
    )
    return Cause("systemd-socket", text), (stop, show)


def _docker_proxy(case: Case) -> Found | None:
    for process in case.processes:
        if process.name != "docker-proxy":
            continue
        to = [
            found[1]
            for option in ("ip", "port")
            if (found := re.search(rf"-container-{option} (\S+)", process.command))
        ]
        text = (
            f"docker-proxy({process.pid}) forwards {case.where} to container {':'.join(to) or '?'}"
        )
        return Cause("docker-proxy", text), (
            Fix("find the container", f"docker ps --filter publish={case.request.port}"),
            Fix("and stop it", "docker stop CONTAINER"),
        )
    return None


def _inherited(case: Case) -> Found | None:
    # By executable only: workers of one program often go by names of their own.
    programs = {process.executable for process in case.processes if process.executable}
    odd = [p for p in case.processes if _program(p) in NEVER_LISTEN]
    if len(programs) < 2 and not odd:
        return None
    heirs = odd or case.processes[1:]
    names = ", ".join(f"{process_name(p.name, p.pid)}" for p in heirs[:3])
    text = (
        f"{names} inherited the socket that listens on {case.where} from the server that started it"
    )
    return Cause("inherited-listener", text), (
        Fix(
            "end what inherited it, unless it is meant to serve",
            f"kill {_joined([p.pid for p in heirs])}",
        ),
        fixes.CLOSE_ON_EXEC,
    )


def _reuseport(case: Case) -> Found | None:
    owner, request = case.blocker.owner, case.request
    if not request.reuseport:
        return None
    if owner.flags.reuseport is False:
        text = f"{case.who} on {case.where} has no SO_REUSEPORT: both sides need it"
        return Cause("reuseport-member-without", text), (
            Fix("set SO_REUSEPORT before bind() on every socket of the group", None),
            *fixes.stop(case.processes),
        )
    uid = case.snapshot.facts.uid if request.uid is None else request.uid
    if owner.flags.reuseport and owner.uid is not None and uid is not None and owner.uid != uid:
        text = f"both have SO_REUSEPORT, but {case.where} belongs to uid {owner.uid}, not {uid}"
        return Cause("reuseport-other-user", text), (
            Fix(f"run the new server as uid {owner.uid}, or stop the old one", None),
        )
    return None


def _old_generation(case: Case) -> Found | None:
    group = [sock for sock in case.port.listeners if sock.flags.reuseport]
    ends = first_and_last(members(group))
    # A parent that starts a worker anew is one server all along.
    if ends is None or ends[0].parent_pid == ends[1].parent_pid != 1:
        return None
    oldest = ends[0]
    age = spoken_duration(case.snapshot.time - oldest.start_time)
    who = process_name(oldest.name, oldest.pid)
    text = f"an older generation still listens: {who}, started {age} ago"
    return Cause("listener-old-generation", text), fixes.stop([oldest])


def _overlap(case: Case) -> Found | None:
    owner, request = case.blocker.owner, case.request
    if owner.address == request.address:
        return None
    if owner.address == "::" and request.family == "ipv4":
        text = (
            f"{case.who} has [::]:{request.port}, dual-stack: it covers {request.address} as well"
        )
        return Cause("dual-stack", text), (
            Fix("give the IPv6 server IPV6_V6ONLY (nginx: ipv6only=on)", None),
            *fixes.stop(case.processes),
        )
    if not {owner.address, request.address} & set(WILDCARDS):
        return None
    text = f"{case.who} has {case.where}, and a wildcard overlaps every address"
    return Cause("wildcard-overlap", text), (
        Fix("bind a specific address that nobody has", None),
        *fixes.stop(case.processes),
    )


def _listener(case: Case) -> Found:
    first = case.processes[0]
    verb = "listens on" if case.request.protocol == "tcp" else "receives on"
    age = spoken_duration(case.snapshot.time - first.start_time)
    text = f"{case.who} of user {first.user}, started {age} ago, {verb} {case.where}"
    return Cause("listener", text), fixes.stop(case.processes)


def _bound_only(case: Case) -> Found:
    text = f"{case.who} has bound {case.where} and does not listen; ss -ltn does not show it"
    return Cause("bound-only", text), fixes.stop(case.processes)


def _program(process: Process) -> str:
    return os.path.basename(process.executable) if process.executable else process.name


def _joined(pids: list[int]) -> str:
    return " ".join(map(str, pids))


SERVER: Final[tuple[Finder, ...]] = (
    _no_holder,
    _stopped,
    _uninterruptible,
    _systemd,
    _docker_proxy,
    _inherited,
    _reuseport,
    _old_generation,
    _overlap,
    _listener,
)
BOUND: Final[tuple[Finder, ...]] = (_no_holder, _stopped, _uninterruptible, _bound_only)
