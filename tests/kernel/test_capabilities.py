"""Who may bind low ports, by user namespaces: the kernel is asked each time."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from sockwatch.kernel.capabilities import LowPorts, low_ports
from tests.support.child import become, idle_child, in_child
from tests.support.netns import CLONE_NEWNET, enter_new_user_namespace, setns, unshare
from tests.support.privilege import needs_root

pytestmark = needs_root
NOBODY = 65534
CAP_NET_BIND_SERVICE, CAP_NET_ADMIN = 10, 12


def kernel_lets_us() -> bool:
    with socket.socket() as sock:
        try:
            sock.bind(("0.0.0.0", 80))
        except PermissionError:
            return False
    return True


def answers() -> tuple[bool, LowPorts]:
    return kernel_lets_us(), low_ports()


def in_a_new_netns() -> None:
    unshare(CLONE_NEWNET)


def without_the_capability() -> None:
    unshare(CLONE_NEWNET)
    become(NOBODY, CAP_NET_ADMIN)


def with_it_alone() -> None:
    unshare(CLONE_NEWNET)
    become(NOBODY, CAP_NET_BIND_SERVICE)


def private_users() -> None:
    """As PrivateUsers=: root of a user namespace below the one of the network namespace."""
    unshare(CLONE_NEWNET)
    enter_new_user_namespace()


def rootless() -> None:
    enter_new_user_namespace(flags=CLONE_NEWNET)


SITUATIONS = [
    (in_a_new_netns, True, True),
    (without_the_capability, False, True),
    (with_it_alone, True, True),
    (private_users, False, False),
    (rootless, True, True),
]


@pytest.mark.parametrize(("prepare", "may", "counts"), SITUATIONS)
def test_in_ones_own_namespaces(prepare: Callable[[], None], may: bool, counts: bool) -> None:
    def ask() -> tuple[bool, LowPorts]:
        prepare()
        return answers()

    assert in_child(ask) == (may, LowPorts(may, counts))


def nested(levels: int) -> Callable[[], None]:
    """A network namespace below so many user namespaces, the first of which nobody(65534) made."""

    def prepare() -> None:
        become(NOBODY)
        for level in range(levels):
            enter_new_user_namespace(0 if level else NOBODY)
        unshare(CLONE_NEWNET)

    return prepare


def enter(pid: int) -> None:
    with open(f"/proc/{pid}/ns/net") as netns:
        setns(netns.fileno())


@pytest.mark.parametrize("levels", [1, 2])
def test_root_of_the_host_in_a_container(levels: int) -> None:
    with idle_child(nested(levels)) as pid:

        def ask() -> tuple[bool, LowPorts]:
            enter(pid)
            return answers()

        assert in_child(ask) == (True, LowPorts(True, True))


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("uid", [NOBODY, NOBODY - 1])
def test_the_user_who_made_the_container(levels: int, uid: int) -> None:
    """The maker of a user namespace has all capabilities in it, another user has none."""
    with idle_child(nested(levels)) as pid:

        def ask() -> tuple[bool, LowPorts]:
            enter(pid)
            become(uid)
            return answers()

        assert in_child(ask) == (uid == NOBODY, LowPorts(uid == NOBODY, True))


@pytest.mark.parametrize("levels", [1, 2])
def test_root_of_another_container(levels: int) -> None:
    """Its user namespace is not above that of the network namespace, however deep that lies."""
    with idle_child(nested(levels)) as pid:

        def ask() -> tuple[bool, LowPorts]:
            enter(pid)
            enter_new_user_namespace()
            return answers()

        assert in_child(ask) == (False, LowPorts(False, False))
