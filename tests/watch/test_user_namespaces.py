"""Low ports refused, and whether a capability would have helped: user_namespaces(7)."""

from __future__ import annotations

import socket

from sockwatch.bind.failure import ExplainedFailure
from sockwatch.watch import FailureWatch
from tests.support.child import become, idle_child
from tests.support.failing import bind, collect, forked, of_pid
from tests.support.netns import CLONE_NEWNET, enter_new_user_namespace, setns

NOBODY = 65534


def advice(explained: ExplainedFailure) -> str:
    return " ".join(f"{fix.text} {fix.command}" for fix in explained.fixes)


def low_port() -> None:
    bind(socket.AF_INET, ("0.0.0.0", 53), kind=socket.SOCK_DGRAM)


def test_a_capability_of_a_user_namespace_of_its_own(watch: FailureWatch, netns: None) -> None:
    def fail() -> None:
        enter_new_user_namespace()
        low_port()

    (explained,) = collect(watch, of_pid(forked(fail)))
    assert (explained.failure.errno, explained.explained) == ("EACCES", True)
    assert explained.cause is not None
    assert explained.cause.id == "low-port-elsewhere"
    assert "setcap" not in advice(explained)
    assert "AmbientCapabilities" not in advice(explained)


def test_root_of_one_container_in_the_network_of_another(watch: FailureWatch, netns: None) -> None:
    """The other one's user namespace is deeper, and not below."""

    def box() -> None:
        enter_new_user_namespace()
        enter_new_user_namespace(flags=CLONE_NEWNET)

    with idle_child(box) as pid:

        def fail() -> None:
            with open(f"/proc/{pid}/ns/net") as there:
                setns(there.fileno())
            enter_new_user_namespace()
            low_port()

        (explained,) = collect(watch, of_pid(forked(fail)))
    assert explained.failure.capabilities_count is False
    assert explained.cause is not None
    assert explained.cause.id == "low-port-elsewhere"


def test_the_maker_of_a_container_may(watch: FailureWatch, netns: None) -> None:
    """Nothing fails for want of a capability: what does has another cause."""

    def box() -> None:
        become(NOBODY)
        enter_new_user_namespace(NOBODY, CLONE_NEWNET)

    with idle_child(box) as pid:

        def fail() -> None:
            with open(f"/proc/{pid}/ns/net") as there:
                setns(there.fileno())
            become(NOBODY)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as owner:
                owner.bind(("0.0.0.0", 53))
                bind(socket.AF_INET, ("0.0.0.0", 53), kind=socket.SOCK_DGRAM)

        (explained,) = collect(watch, of_pid(forked(fail)))
    assert explained.failure.errno == "EADDRINUSE"
    assert (explained.failure.net_bind_service, explained.failure.capabilities_count) == (
        True,
        True,
    )


def test_an_ordinary_low_port(watch: FailureWatch, netns: None) -> None:
    def fail() -> None:
        become(NOBODY)
        low_port()

    (explained,) = collect(watch, of_pid(forked(fail)))
    assert explained.cause is not None
    assert explained.cause.id == "low-port"
    assert "AmbientCapabilities" in advice(explained)
