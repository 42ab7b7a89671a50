"""bind() to port 0 with a range of three ports, table-driven and on the kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest

from sockwatch.bind import BindRequest, explain_bind
from sockwatch.model import HostFacts, Port, Protocol
from tests.bind.calls import attempt, new_socket
from tests.bind.makers import FACTS, UNKNOWN, request, snapshot, socket
from tests.bind.oracle import FACTS as NAMESPACE
from tests.bind.oracle import OTHER_UID, Shared, Stage, read_snapshot, snapshot_of
from tests.bind.states import FLAG_PAIRS, SECOND_ADDRESSES
from tests.support.netns import set_ipv4_sysctl
from tests.support.sample import SEED
from tests.support.user import as_user
from tests.support.worker import Worker

RANGE = (40001, 40003)


def test_one_free_port_is_enough() -> None:
    facts = replace(FACTS, port_range=(8080, 8081))
    verdict = explain_bind(request(port=0), snapshot(socket()), facts)
    assert (verdict.bind, verdict.listen, verdict.reason) == ("ok", "ok", None)


def test_a_reserved_port_is_not_free() -> None:
    facts = replace(FACTS, port_range=(8080, 8081), reserved_ports=((8081, 8090),))
    verdict = explain_bind(request(port=0, flags=(True, True)), snapshot(socket()), facts)
    assert (verdict.bind, verdict.listen) == ("EADDRINUSE", "EADDRINUSE")
    assert verdict.reason is not None
    assert verdict.reason.id == "range-exhausted"


def test_autobind_reuse_helps_reuseaddr_on_both_sides() -> None:
    facts = replace(FACTS, port_range=(8080, 8080), autobind_reuse=True)
    owner = socket("BOUND", flags=(True, False))
    assert explain_bind(request(port=0, flags=(True, False)), snapshot(owner), facts).bind == "ok"
    unknown = socket("BOUND", flags=UNKNOWN)
    verdict = explain_bind(request(port=0, flags=(True, False)), snapshot(unknown), facts)
    assert verdict.bind == "depends"
    without = replace(facts, autobind_reuse=False)
    verdict = explain_bind(request(port=0, flags=(True, False)), snapshot(owner), without)
    assert verdict.bind == "EADDRINUSE"


def test_an_unread_range_is_a_gap() -> None:
    verdict = explain_bind(request(port=0), snapshot_of(kernel="6.18.0"), HostFacts())
    assert (verdict.bind, [g.code for g in verdict.gaps]) == ("ok", ["port-range-unseen"])


Question = tuple[Protocol, bool, bool, list[tuple[int, tuple[bool, bool]]], BindRequest]


def _fill_and_ask() -> Callable[[Question], tuple[tuple[Port, ...], str]]:
    shared = Shared()

    def answer(question: Question) -> tuple[tuple[Port, ...], str]:
        protocol, listening, reuse, owners, wanted = question
        set_ipv4_sysctl("ip_local_port_range", f"{RANGE[0]} {RANGE[1]}")
        set_ipv4_sysctl("ip_autobind_reuse", str(int(reuse)))
        stages = []
        for number, (which, flags) in enumerate(owners, RANGE[0]):
            stage = Stage(protocol, number, shared)
            address = SECOND_ADDRESSES[which]
            one = stage.make(address.family, *flags, address.v6only)
            stage.bind(one, address.text)
            if listening and one.sock is not None:
                one.sock.listen(1)
            stages.append(stage)
        ports = tuple(p for stage in stages for p in read_snapshot(stage).ports)
        with as_user(wanted.uid or 0):
            s = new_socket(wanted)
        said = attempt(lambda: s.bind((wanted.address, 0)))
        s.close()
        for stage in stages:
            stage.close()
        return ports, said

    return answer


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_the_kernel_agrees(kernel_oracle: None, protocol: Protocol) -> None:
    exhausted = 0
    listens = (False, True) if protocol == "tcp" else (False,)
    cases = product(
        range(9), FLAG_PAIRS, range(9), FLAG_PAIRS, listens, (False, True), (0, OTHER_UID)
    )
    with Worker(_fill_and_ask) as worker:
        for first, flags, second, asked, listening, reuse, uid in list(cases)[SEED % 7 :: 7]:
            address = SECOND_ADDRESSES[second]
            wanted = BindRequest(
                protocol, address.text, 0, reuseaddr=asked[0], reuseport=asked[1],
                v6only=address.v6only, uid=uid,
            )  # fmt: skip
            ports, kernel = worker.ask((protocol, listening, reuse, [(first, flags)] * 3, wanted))
            facts = replace(NAMESPACE, port_range=RANGE, autobind_reuse=reuse)
            verdict = explain_bind(wanted, snapshot_of(*ports), facts)
            assert verdict.bind == kernel, (ports, wanted)
            exhausted += kernel != "ok"
    assert exhausted > 50
