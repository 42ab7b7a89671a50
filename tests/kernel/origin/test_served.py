"""Which namespace an address is in, and which one a process serves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from sockwatch.kernel.origin import served
from sockwatch.kernel.origin.served import Namespaces, netns_of
from sockwatch.model import Origin
from tests.support.netns import netns_inode
from tests.support.tools import need

ADDRESS, IPV6 = "10.77.7.7", "fd00::77"


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy host is no reason to see less here."""
    monkeypatch.setattr(served, "LIMIT_S", 60)


@contextmanager
def elsewhere(*addresses: str) -> Iterator[int]:
    """A process in a network namespace of its own, which has these addresses: its pid."""
    need("ip")
    adds = "".join(f"ip address add {address} dev lo; " for address in addresses)
    script = f"set -e; ip link set lo up; {adds}echo; exec cat"
    with subprocess.Popen(
        ["unshare", "-n", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        yield process.pid
        process.stdin.close()


@contextmanager
def running(code: str, *arguments: str) -> Iterator[int]:
    """A Python that runs this, and then waits: its pid."""
    with subprocess.Popen(
        [sys.executable, "-c", f"{code}\nprint(flush=True)\ninput()", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        yield process.pid
        process.stdin.write(b"\n")
        process.stdin.close()


@pytest.mark.parametrize("address", [ADDRESS, IPV6])
def test_the_namespace_that_has_an_address(netns: None, address: str) -> None:
    with elsewhere(f"{ADDRESS}/32", f"{IPV6}/128") as pid, elsewhere("10.77.7.0/24"):
        assert Namespaces().with_address(address, netns_inode()) == netns_of(pid)


def test_an_address_of_none_or_of_several(netns: None) -> None:
    with ExitStack() as stack:
        assert Namespaces().with_address(ADDRESS, netns_inode()) is None
        for _ in range(2):
            stack.enter_context(elsewhere(f"{ADDRESS}/32"))
        assert Namespaces().with_address(ADDRESS, netns_inode()) is None


def test_loopback_is_in_every_namespace(netns: None) -> None:
    with elsewhere(), elsewhere():
        assert Namespaces().with_address("127.0.0.1", netns_inode()) is None


def test_the_namespace_that_a_process_is_in(netns: None) -> None:
    with elsewhere() as pid:
        assert Namespaces().served_by(pid, netns_inode()) == netns_of(pid)


def test_the_namespace_that_a_process_has_an_fd_of(netns: None) -> None:
    with elsewhere() as there, running(f"kept = open('/proc/{there}/ns/net')") as pid:
        assert Namespaces().served_by(pid, netns_inode()) == netns_of(there)


def test_the_namespace_of_a_child(netns: None) -> None:
    code = (
        "import subprocess\n"
        "child = subprocess.Popen(['unshare', '-n', 'sh', '-c', 'echo; exec cat'],"
        " stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "child.stdout.readline()"
    )
    with running(code) as pid:
        served = Namespaces().served_by(pid, netns_inode())
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        assert served == netns_of(int(children[0]))


def test_a_process_that_serves_none_or_several(netns: None) -> None:
    with elsewhere() as one, elsewhere() as two:
        with running("") as pid:
            assert Namespaces().served_by(pid, netns_inode()) is None
        opens = f"kept = open('/proc/{one}/ns/net'), open('/proc/{two}/ns/net')"
        with running(opens) as pid:
            assert Namespaces().served_by(pid, netns_inode()) is None


def test_a_process_that_has_gone() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert netns_of(gone.pid) is None
    assert Namespaces().served_by(gone.pid, 0) is None


def test_an_address_among_many(netns: None) -> None:
    many = [f"10.{first}.{second}.9/24" for first in range(20, 28) for second in range(5)]
    with elsewhere(*many, f"{ADDRESS}/32", "10.99.0.9/24") as pid:
        assert Namespaces().with_address(ADDRESS, netns_inode()) == netns_of(pid)
        assert Namespaces().with_address("10.99.0.9", netns_inode()) == netns_of(pid)


def test_a_look_ends_in_time(netns: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with elsewhere(f"{ADDRESS}/32") as pid:
        monkeypatch.setattr(served, "LIMIT_S", 0.0)
        over = Namespaces()
        assert over.with_address(ADDRESS, netns_inode()) is None
        assert over.served_by(pid, netns_inode()) is None
        assert not [*over.named("sh"), *over.named("cat")]


def test_what_a_container_calls_what_it_runs(netns: None, monkeypatch: pytest.MonkeyPatch) -> None:
    web = Origin("docker", "1" * 64, "web", "cgroup")
    forged = Origin("docker", "2" * 64, None, "cgroup", outer=web)
    pod = Origin("pod", "3", "shop/cart-0", "cgroup", outer=forged)
    monkeypatch.setattr(served, "of_process", lambda _: pod)
    with elsewhere() as pid:
        inode = netns_of(pid) or 0
        assert Namespaces().container(inode, None) == web
        assert Namespaces().container(inode, web) == forged
        assert Namespaces().container(inode, pod) == pod
