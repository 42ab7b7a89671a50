"""TIME_WAITs are ended one by one, and nothing else."""

from __future__ import annotations

import errno
import socket

import pytest

from sockwatch.bind.kernels import Quirk
from sockwatch.kernel.sock_diag.destroy import destroy
from sockwatch.kernel.surroundings import take_snapshot
from sockwatch.model import KernelError, Port, Socket
from tests.bind.quirk_trials import has_quirk
from tests.support.child import become, in_child
from tests.support.privilege import REAL_ROOT


@pytest.fixture(autouse=True)
def _can_be_ended(netns: None) -> None:
    if has_quirk(Quirk.MINIS_STAY):
        pytest.skip("this kernel ends no TIME_WAIT: Linux 6.0 and later do")


def make_time_waits(address: str, count: int) -> socket.socket:
    server = socket.create_server((address, 8080), family=family(address))
    for _ in range(count):
        client = socket.create_connection((address, 8080))
        accepted = server.accept()[0]
        accepted.close()
        client.close()
    return server


def family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def port() -> Port:
    found = take_snapshot(8080).port("tcp", 8080)
    assert found is not None
    return found


def waiting() -> list[Socket]:
    return [sock for sock in port().connections or () if sock.state == "TIME_WAIT"]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_the_chosen_ones_end(netns: None, address: str) -> None:
    server = make_time_waits(address, 3)
    chosen = waiting()[:2]
    assert destroy(chosen) == 2
    assert {sock.cookie for sock in waiting()}.isdisjoint(sock.cookie for sock in chosen)
    assert port().states == {"LISTEN": 1, "TIME_WAIT": 1}
    # Those that are gone already are not counted, nor an error.
    assert destroy(chosen) == 0
    server.close()


@pytest.mark.skipif(not REAL_ROOT, reason="needs root, to become another user")
def test_without_the_capability_it_is_refused(netns: None) -> None:
    server = make_time_waits("127.0.0.1", 1)
    chosen = waiting()

    def attempt() -> int:
        become(65534)
        try:
            return destroy(chosen)
        except KernelError as error:
            return -error.errno

    assert in_child(attempt) == -errno.EPERM
    assert len(waiting()) == 1
    server.close()
