"""Sockets that no process has an fd of: the kernel's own, and those in flight, TCP and UDP."""

from __future__ import annotations

import array
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from sockwatch.bind import BindRequest, Fix, Verdict, explain_bind
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.model import Gap, GapCode, HostFacts, Port
from tests.support import build
from tests.support.child import idle_child
from tests.support.netns import enter_new_netns
from tests.support.privilege import REAL_ROOT
from tests.support.tools import need

PORT = 4790  # not one that is known to be a tunnel's


def why(protocol: str) -> Verdict:
    with SnapshotReader() as reader:
        request = BindRequest(protocol, "0.0.0.0", PORT)  # type: ignore[arg-type]
        return explain_bind(request, reader.take(PORT))


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def output(fix: Fix) -> str:
    """What the shell command prints; grep(1) ends with 2 where a process has gone meanwhile."""
    assert fix.command is not None
    done = subprocess.run(["sh", "-c", fix.command], stdout=subprocess.PIPE, text=True, check=False)
    return done.stdout


@contextmanager
def tunnel(*, moved_to: int | None = None) -> Iterator[None]:
    """A vxlan that receives on the port in this network namespace, wherever its device is."""
    need("ip")
    link = ["vxlan-test", "type", "vxlan", "id", "9", "dstport", str(PORT), "dev", "lo"]
    if subprocess.run(["ip", "link", "add", *link], capture_output=True, check=False).returncode:
        pytest.skip("no vxlan on this kernel")
    if moved_to is not None:
        run("ip", "link", "set", "vxlan-test", "netns", str(moved_to))
        run("nsenter", "-t", str(moved_to), "-n", "ip", "link", "set", "vxlan-test", "up")
    else:
        run("ip", "link", "set", "vxlan-test", "up")
    yield


@pytest.mark.skipif(not REAL_ROOT, reason="only root may make a tunnel")
@pytest.mark.parametrize("moved", [False, True])
def test_a_tunnel_is_found_where_it_was_made(netns: None, moved: bool) -> None:
    run("ip", "link", "set", "lo", "up")
    with idle_child(enter_new_netns) as pid, tunnel(moved_to=pid if moved else None):
        verdict = why("udp")
        assert verdict.bind == "EADDRINUSE"
        assert verdict.cause is not None
        assert verdict.cause.id in ("no-fd-anywhere", "holder-not-visible")
        assert "the kernel itself" in verdict.cause.text
        look = next(fix for fix in verdict.fixes if "look for a tunnel" in fix.text)
        lines = output(look).splitlines()
        assert any("vxlan-test" in line and str(PORT) in line for line in lines) != moved
        assert "to which it was moved" in " ".join(fix.text for fix in verdict.fixes)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_socket_in_flight(netns: None, protocol: str) -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with left, right:
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        sent = socket.socket(socket.AF_INET, kind)
        sent.bind(("0.0.0.0", PORT))
        if protocol == "tcp":
            sent.listen()
        fds = array.array("i", [sent.fileno()])
        left.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        sent.close()
        verdict = why(protocol)
        look = next(fix for fix in verdict.fixes if "in flight" in fix.text)
        assert f"/proc/{os.getpid()}/fdinfo/{right.fileno()}" in output(look).split()


def made_up(protocol: str, number: int, uid: int, *gaps: Gap) -> Verdict:
    state = "LISTEN" if protocol == "tcp" else "UNCONN"
    sock = build.socket(state, "0.0.0.0", number, protocol=protocol, uid=uid)  # type: ignore[arg-type]
    port: Port = build.port(number, protocol=protocol, listeners=(sock,))  # type: ignore[arg-type]
    shown = replace(build.snapshot([port], gaps=gaps), facts=HostFacts(uid=0))
    return explain_bind(BindRequest(protocol, "0.0.0.0", number), shown)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("protocol", "number", "uid", "identity", "said", "tunnel"),
    [
        ("udp", 4789, 0, "kernel-socket", "probably the kernel's own, for vxlan", True),
        ("udp", 51820, 0, "kernel-socket", "for wireguard", True),
        ("tcp", 2049, 0, "kernel-socket", "for nfs", False),
        ("udp", 4789, 33, "no-fd-anywhere", "a thread still in recv()", False),
        ("udp", 5353, 0, "no-fd-anywhere", "or by the kernel itself", True),
        ("tcp", 8080, 33, "no-fd-anywhere", "a thread still in accept()", False),
    ],
)
def test_how_sure_it_is(
    protocol: str, number: int, uid: int, identity: str, said: str, tunnel: bool
) -> None:
    verdict = made_up(protocol, number, uid)
    assert verdict.cause is not None
    assert verdict.cause.id == identity
    assert said in verdict.cause.text
    assert any("tunnel" in fix.text for fix in verdict.fixes) == tunnel
    for fix in verdict.fixes:
        if "on the port" in fix.text:
            assert str(number) in (fix.command or "")


@pytest.mark.parametrize(("uid", "is_told"), [(0, True), (33, False)])
def test_the_kernel_may_be_what_is_outside(uid: int, is_told: bool) -> None:
    gap = Gap(GapCode.HOLDERS_NOT_VISIBLE, "1 socket has no holder", "run on the host")
    verdict = made_up("udp", 4789, uid, gap)
    assert verdict.cause is not None
    assert verdict.cause.id == "holder-not-visible"
    assert ("or the kernel itself" in verdict.cause.text) == is_told
