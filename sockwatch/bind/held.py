"""Causes of a blocker that a process holds: a server, or a socket that is only bound."""

from __future__ import annotations

import os.path
import re
import shlex
from typing import Final

from sockwatch.bind import fixes
from sockwatch.bind.cause_ids import CauseId
from sockwatch.bind.evidence import Evidence, Explanation, Finder
from sockwatch.bind.generations import first_and_last, members
from sockwatch.bind.model import Cause, Fix
from sockwatch.model import GapCode, Process
from sockwatch.units import process_name, spoken_duration

# Programs that never listen by themselves: with a listening socket, they inherited it.
NEVER_LISTEN: Final = frozenset(
    {"sh", "bash", "dash", "zsh", "ash", "sleep", "cat", "tail", "tee", "gzip", "xargs"}
    | {"timeout", "nohup", "script", "less", "mpv"}
)
# Programs that hold the published ports of containers: podman, docker, cri-o, containerd.
RUNTIMES: Final = frozenset(
    {"conmon", "conmonrs", "rootlessport", "rootlesskit", "slirp4netns", "pasta", "dockerd"}
    | {"containerd-shim-runc-v2", "crio"}
)
WILDCARDS: Final = ("0.0.0.0", "::")  # noqa: S104 - compared with, never bound


def _no_holder(evidence: Evidence) -> Explanation | None:
    if evidence.processes:
        return None
    hidden = _hidden(evidence)
    if hidden is not None:
        return hidden
    if evidence.request.protocol == "udp" and evidence.blocker.owner.uid == 0:
        text = f"no process holds {evidence.where}: it is the kernel's own (vxlan, wireguard, nfs)"
        return Cause(CauseId.KERNEL_SOCKET, text), (
            Fix("find the interface that uses it", "ip -d link show", in_netns=True),
        )
    text = (
        f"no fd refers to {evidence.where}: a blocked accept(), io_uring, an fd in flight over a"
        " unix socket, or the kernel itself"
    )
    return Cause(CauseId.NO_FD_ANYWHERE, text), (
        Fix("look for a thread blocked in accept()", "grep -l accept /proc/*/task/*/wchan"),
        Fix("look for fds in flight", "grep -l 'scm_fds:[[:space:]]*[1-9]' /proc/*/fdinfo/*"),
        Fix("in the server, call shutdown() before close()", None),
    )


def _hidden(evidence: Evidence) -> Explanation | None:
    """A holder that is there, and could not be seen by us."""
    codes = {gap.code for gap in evidence.snapshot.gaps}
    uid, is_root = evidence.blocker.owner.uid, evidence.snapshot.facts.uid == 0
    whose = f"a process of uid {uid}" if uid is not None else "a process"
    if GapCode.HOLDERS_NOT_VISIBLE in codes and is_root:
        text = (
            f"{whose} outside this pid namespace, as in another container, holds {evidence.where}"
        )
        return Cause(CauseId.HOLDER_NOT_VISIBLE, text), (
            Fix("run sockwatch on the host, or in that container", None),
        )
    if codes & {
        GapCode.HOLDERS_NOT_VISIBLE,
        GapCode.HOLDERS_NOT_PERMITTED,
        GapCode.SOCK_DIAG_REFUSED,
    }:
        text = f"{whose} that you may not inspect holds {evidence.where}"
        todo = (
            () if is_root else (fixes.run_as_root(evidence.verdict, evidence.snapshot.facts.uid),)
        )
        return Cause(CauseId.HOLDER_NOT_VISIBLE, text), todo
    return None


def _stopped(evidence: Evidence) -> Explanation | None:
    pids = [process.pid for process in evidence.processes if process.state in "Tt"]
    if not pids:
        return None
    text = f"{evidence.does('is')} stopped (state T) and still {evidence.verb('holds')}"
    return Cause(CauseId.HOLDER_STOPPED, f"{text} {evidence.where}"), (
        Fix(
            "resume it first: SIGTERM does nothing while it is stopped",
            fixes.kill(*pids, signal="CONT"),
        ),
    )


def _uninterruptible(evidence: Evidence) -> Explanation | None:
    if not any(process.state == "D" for process in evidence.processes):
        return None
    text = f"{evidence.does('is')} stuck in the kernel (state D) and cannot exit until the I/O ends"
    return Cause(CauseId.HOLDER_UNINTERRUPTIBLE, text), (
        Fix("fix the disk or mount it is waiting for", None),
    )


def _systemd(evidence: Evidence) -> Explanation | None:
    if not any(p.pid == 1 and p.name.startswith("systemd") for p in evidence.processes):
        return None
    find = Fix("find the unit by its address", "systemctl list-sockets --all")
    names = {p.service.name for p in evidence.processes if p.service and p.pid != fixes.INIT_PID}
    if len(names) != 1:
        text = f"systemd (pid 1) listens on {evidence.where} for a socket unit"
        return Cause(CauseId.SYSTEMD_SOCKET, text), (find,)
    unit = f"{names.pop().removesuffix('.service')}.socket"
    text = f"systemd (pid 1) listens on {evidence.where} for {unit}"
    stop = Fix(
        "stop the socket unit; stopping the service is not enough",
        shlex.join(["systemctl", "stop", unit]),
    )
    return Cause(CauseId.SYSTEMD_SOCKET, text), (stop, find)


def _runtime(evidence: Evidence) -> Explanation | None:
    """Stopping one of these would take a container, or all of them, along."""
    runtime = next((p for p in evidence.processes if _program(p) in RUNTIMES), None)
    if runtime is None:
        return None
    who = process_name(runtime.name, runtime.pid)
    text = f"{who} holds {evidence.where} for a container whose port it publishes"
    return Cause(CauseId.CONTAINER_RUNTIME, text), (
        Fix("stop that container; do not stop the runtime", None),
    )


def _docker_proxy(evidence: Evidence) -> Explanation | None:
    proxy = next((p for p in evidence.processes if p.name == "docker-proxy"), None)
    if proxy is None:
        return None
    options = (re.search(rf"-container-{name} (\S+)", proxy.command) for name in ("ip", "port"))
    target = ":".join(option[1] for option in options if option) or "?"
    who = process_name(proxy.name, proxy.pid)
    text = f"{who} forwards {evidence.where} to container {target}"
    return Cause(CauseId.DOCKER_PROXY, text), (
        Fix("find the container", f"docker ps --filter publish={evidence.request.port}"),
        Fix("then stop it", "docker stop CONTAINER"),
    )


def _inherited(evidence: Evidence) -> Explanation | None:
    # By executable only: workers of one program often go by names of their own.
    programs = {process.executable for process in evidence.processes if process.executable}
    odd = [p for p in evidence.processes if _program(p) in NEVER_LISTEN]
    if len(programs) < 2 and not odd:
        return None
    heirs = odd or evidence.processes[1:]
    names = ", ".join(process_name(p.name, p.pid) for p in heirs[:3])
    text = f"{names} inherited the listening socket on {evidence.where} from its server"
    return Cause(CauseId.INHERITED_LISTENER, text), (
        Fix(
            "stop what inherited it, unless it is meant to serve",
            fixes.kill(*(process.pid for process in heirs)),
        ),
        fixes.CLOSE_ON_EXEC,
    )


def _reuseport(evidence: Evidence) -> Explanation | None:
    owner, request = evidence.blocker.owner, evidence.request
    if not request.reuseport:
        return None
    if owner.flags.reuseport is False:
        text = f"{evidence.does('has')} no SO_REUSEPORT on {evidence.where}: both sides need it"
        return Cause(CauseId.REUSEPORT_MEMBER_WITHOUT, text), (
            Fix("set SO_REUSEPORT before bind() on every socket of the group", None),
            *fixes.stop(evidence.processes),
        )
    uid = evidence.snapshot.facts.uid if request.uid is None else request.uid
    if owner.flags.reuseport and owner.uid is not None and uid is not None and owner.uid != uid:
        text = f"both have SO_REUSEPORT, but {evidence.where} belongs to uid {owner.uid}, not {uid}"
        return Cause(CauseId.REUSEPORT_OTHER_USER, text), (
            Fix(f"run the new server as uid {owner.uid}, or stop the old one", None),
        )
    return None


def _old_generation(evidence: Evidence) -> Explanation | None:
    group = [sock for sock in evidence.port.listeners if sock.flags.reuseport]
    ends = first_and_last(members(group))
    # A parent that restarts a worker is one server all along.
    if ends is None or ends[0].parent_pid == ends[1].parent_pid != 1:
        return None
    oldest = ends[0]
    age = spoken_duration(evidence.snapshot.time - oldest.start_time)
    who = process_name(oldest.name, oldest.pid)
    text = f"an older generation still listens: {who}, started {age} ago"
    return Cause(CauseId.LISTENER_OLD_GENERATION, text), fixes.stop([oldest])


def _overlap(evidence: Evidence) -> Explanation | None:
    owner, request = evidence.blocker.owner, evidence.request
    if owner.address == request.address:
        return None
    has = evidence.does("has")
    if owner.address == "::" and request.family == "ipv4":
        text = f"{has} [::]:{request.port}, dual-stack: it covers {request.address} too"
        return Cause(CauseId.DUAL_STACK, text), (
            Fix("set IPV6_V6ONLY in the IPv6 server (nginx: ipv6only=on)", None),
            *fixes.stop(evidence.processes),
        )
    if not {owner.address, request.address} & set(WILDCARDS):
        return None
    text = f"{has} {evidence.where}, and a wildcard overlaps every address"
    return Cause(CauseId.WILDCARD_OVERLAP, text), (
        Fix("bind a specific address that is not taken", None),
        *fixes.stop(evidence.processes),
    )


def _listener(evidence: Evidence) -> Explanation:
    first = evidence.processes[0]
    does = evidence.does("listens" if evidence.request.protocol == "tcp" else "receives")
    age = spoken_duration(evidence.snapshot.time - first.start_time)
    text = f"{does} on {evidence.where}; user {first.user}, started {age} ago"
    return Cause(CauseId.LISTENER, text), fixes.stop(evidence.processes)


def _bound_only(evidence: Evidence) -> Explanation:
    has = evidence.does("has")
    text = f"{has} bound {evidence.where} without listening; ss -ltn does not show it"
    return Cause(CauseId.BOUND_ONLY, text), fixes.stop(evidence.processes)


def _program(process: Process) -> str:
    return os.path.basename(process.executable) if process.executable else process.name


# Asked in this order; the last of each always explains.
SERVER: Final[tuple[Finder, ...]] = (
    _no_holder,
    _stopped,
    _uninterruptible,
    _systemd,
    _docker_proxy,
    _runtime,
    _inherited,
    _reuseport,
    _old_generation,
    _overlap,
    _listener,
)
BOUND: Final[tuple[Finder, ...]] = (
    _no_holder,
    _stopped,
    _uninterruptible,
    _runtime,
    _bound_only,
)
