"""Which listeners take what comes to an address; the kernel connects as the judge."""

from __future__ import annotations

import itertools
import socket
from contextlib import ExitStack

import pytest

from sockwatch.bind.reach import accepts
from sockwatch.kernel.listeners import read_listeners
from tests.bind.makers import socket as made

PORT = 8080
SERVED = ("127.0.0.1", "127.0.0.2", "0.0.0.0", "::", "::1", "::ffff:127.0.0.1", "::ffff:0.0.0.0")
TARGETS = ("127.0.0.1", "127.0.0.2", "::1")


def connects(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as client:
        return client.connect_ex((address, PORT)) == 0


@pytest.mark.parametrize(
    ("served", "v6only", "target"),
    [
        (served, v6only, target)
        for served, v6only, target in itertools.product(SERVED, (False, True), TARGETS)
        if not v6only or served in ("::", "::1")
    ],
)
def test_as_the_kernel_does(netns: None, served: str, v6only: bool, target: str) -> None:
    with ExitStack() as stack:
        family = socket.AF_INET6 if ":" in served else socket.AF_INET
        sock = stack.enter_context(socket.socket(family))
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        sock.bind((served, PORT))
        sock.listen()
        (listener,) = read_listeners("tcp", PORT)
        assert accepts(listener, target) is connects(target)
        assert accepts(listener, None) is True


def test_a_full_queue_takes_nothing(netns: None) -> None:
    with ExitStack() as stack:
        sock = stack.enter_context(socket.socket())
        sock.bind(("127.0.0.1", PORT))
        sock.listen(0)
        assert accepts(read_listeners("tcp", PORT)[0], None) is True
        stack.enter_context(socket.create_connection(sock.getsockname()))
        assert accepts(read_listeners("tcp", PORT)[0], None) is False


@pytest.mark.parametrize(
    ("address", "target", "answer"),
    [
        ("0.0.0.0", "0.0.0.0", True),
        ("127.0.0.1", "0.0.0.0", False),  # there is more than it takes
        ("::", "::", True),
        ("0.0.0.0", "::", False),
        ("::1", "::", False),
    ],
)
def test_a_wildcard_is_every_address(address: str, target: str, answer: bool) -> None:
    assert accepts(made("LISTEN", address, v6only=False if ":" in address else None), target) is (
        answer
    )


def test_what_could_not_be_seen() -> None:
    unseen = made("LISTEN", "::", v6only=None)
    assert accepts(unseen, "127.0.0.1") is None
    assert accepts(unseen, "::1") is True


def test_devices() -> None:
    sock = made("LISTEN", "0.0.0.0", device="eth0")
    answers = [accepts(sock, None, device) for device in (None, "eth0", "eth1")]
    assert answers == [False, True, False]
    assert accepts(made("LISTEN", "0.0.0.0"), None, "eth0") is True


def test_udp(netns: None) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        assert read_listeners("udp", PORT) == ()
        sock.bind(("127.0.0.1", PORT))
        (receiver,) = read_listeners("udp", PORT)
        assert accepts(receiver, "127.0.0.1") is True
        sock.connect(("127.0.0.1", 9))
        assert not any(accepts(sock, None) for sock in read_listeners("udp", PORT))
