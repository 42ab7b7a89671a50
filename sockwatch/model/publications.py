"""Ports of containers that a process of the container's runtime holds on the host."""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Final, NamedTuple

from sockwatch.model.origin import Origin, OriginKind
from sockwatch.model.sockets import Process, Protocol
from sockwatch.text import NAME_LIMIT, clean

DOCKER_PROXY: Final = "docker-proxy"
# Options of podman(1) by which it finds a container that is kept somewhere else.
PODMAN_OPTIONS: Final = ("--root", "--runroot", "--tmpdir", "--storage-driver")
COMMAND_LINE: Final = "command line"  # by which an Origin is known
MAX_PORT: Final = 65535
# Programs that hold the published ports of containers, and what each belongs to.
PUBLISHERS: Final = {
    DOCKER_PROXY: "docker",
    "rootlesskit-docker-proxy": "docker",
    "dockerd": "docker",
    "conmon": "podman",
    "conmonrs": "cri-o",
    "podman": "podman",
    "rootlessport": "podman",
    "rootlesskit": "rootlesskit",
    "slirp4netns": "slirp4netns",
    "pasta": "pasta",
    "pasta.avx2": "pasta",
    "passt": "pasta",
    "passt.avx2": "pasta",
    "gvproxy": "gvproxy",
    "containerd": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "crio": "cri-o",
    "lxd": "lxd",
    "incusd": "incus",
    "kube-proxy": "kube-proxy",
}
_PASTA_OPTIONS: Final = {"tcp": ("-t", "--tcp-ports"), "udp": ("-u", "--udp-ports")}
_PASTA_RANGE: Final = re.compile(r"(\d+)(?:-(\d+))?(?::(\d+)(?:-\d+)?)?", re.ASCII)
# ADDRESS:PORT:PORT/PROTOCOL, rootlesskit(1)
_ROOTLESSKIT: Final = re.compile(
    r"(?:.*:)?(\d+):(?:(?:\d+\.){3}\d+:)?(\d+)/(tcp|udp)[46]?", re.ASCII
)


class Target(NamedTuple):
    """Where a port's traffic goes; None for what is not told."""

    address: str | None = None
    port: int | None = None


class Publication(NamedTuple):
    """What a process that holds a port serves it for: a port of a container.

    `pid` is the process, `runtime` what it belongs to, such as ``docker``. `container` is None
    where it could not be found, and where what is served is in none. `address` and `port` are where
    the traffic goes, as the process's command line or a NAT rule says; None where neither does.
    `client` are the words with which a command about the container begins, ``docker`` or ``podman
    --root /srv``; empty where none is certain to reach it.
    """

    protocol: Protocol
    pid: int
    runtime: str
    container: Origin | None
    address: str | None
    port: int | None
    client: tuple[str, ...] = ()


def publisher(process: Process) -> str | None:
    """The name of the program if it is one of PUBLISHERS: that of its executable.

    A process may call itself anything: its name counts only where the executable may not be read.
    """
    name = os.path.basename(process.executable) if process.executable else process.name
    return name if name in PUBLISHERS else None


def is_contained(process: Process) -> bool:
    """Whether it runs in a container or a pod, and so for no other one of this host."""
    origin = process.origin
    return origin is not None and (origin.container or origin.pod) is not None


def told_target(process: Process, protocol: Protocol, port: int) -> Target:
    """Where the command line of such a process says that the port's traffic goes."""
    words, program = process.arguments, publisher(process)
    if program in (DOCKER_PROXY, "rootlesskit-docker-proxy"):
        where, number = option(words, "-container-ip"), option(words, "-container-port")
        return Target(_address(where or ""), _port(number or ""))
    if program is not None and PUBLISHERS[program] == "pasta":
        return Target(port=_pasta_port(words, protocol, port))
    if program == "rootlesskit":
        specs = [*options(words, "-p"), *options(words, "--publish")]
        matches = filter(None, map(_ROOTLESSKIT.fullmatch, specs))
        ports = (_port(m[2]) for m in matches if (int(m[1]), m[3]) == (port, protocol))
        return Target(port=next(ports, None))
    return Target()


def told_container(process: Process) -> Origin | None:
    """The container whose monitor the process says that it is, conmon(8); None if it says none."""
    words = process.arguments
    if publisher(process) != "conmon" or is_contained(process):
        return None
    identity = clean(option(words, "-c") or option(words, "--cid") or "", NAME_LIMIT)
    name = clean(option(words, "-n") or option(words, "--name") or "", NAME_LIMIT) or None
    if not (identity or name):
        return None
    runs = os.path.basename(option(words, "--exit-command") or "")
    kind: OriginKind = "podman" if runs == "podman" else "container"
    return Origin(kind, identity, name, COMMAND_LINE, process.uid or None)


def option(words: Sequence[str], name: str) -> str | None:
    """The value of an option, as ``-n web2`` or ``-n=web2``; None if it is not given."""
    return next(options(words, name), None)


def options(words: Sequence[str], name: str) -> Iterator[str]:
    """The values of an option that may be given several times."""
    for word, following in zip(words, (*words[1:], ""), strict=False):
        if word == name:
            yield following
        elif word.startswith(f"{name}="):
            yield word.removeprefix(f"{name}=")


def _pasta_port(words: Sequence[str], protocol: Protocol, port: int) -> int | None:
    """Of ``127.0.0.1/8080-8090:80-90,9000``, passt(1)."""
    for name in _PASTA_OPTIONS[protocol]:
        for spec in options(words, name):
            for part in spec.rpartition("/")[2].split(","):
                if not (found := _PASTA_RANGE.fullmatch(part)):
                    continue
                first, last = int(found[1]), int(found[2] or found[1])
                if first <= port <= last:
                    return _port(str(int(found[3] or first) + port - first))
    return None


def _port(text: str) -> int | None:
    number = int(text) if text.isascii() and text.isdecimal() else 0
    return number if 0 < number <= MAX_PORT else None


def _address(text: str) -> str | None:
    with suppress(ValueError):
        return None if "%" in text else str(ip_address(text))
    return None
