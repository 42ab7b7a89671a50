"""What waiting promises, by the owners of the port."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sockwatch.bind import explain_bind
from sockwatch.bind.prospect import Prospect, common_prospect, prospect
from sockwatch.model import OwnAddress, Socket, SocketGroup
from tests.bind.makers import FACTS, UNKNOWN, group, request, snapshot, socket
from tests.support.build import holder, process


@pytest.mark.parametrize(
    ("owner", "flags", "promised"),
    [
        (socket("LISTEN"), (False, False), "stays"),
        (socket("LISTEN"), (True, False), "stays"),
        (socket("BOUND"), (False, False), "stays"),
        (socket("BOUND", flags=(True, False)), (True, False), "free"),
        (socket("LISTEN", flags=(False, True)), (False, True), "free"),
        (socket("LISTEN", flags=UNKNOWN), (False, True), "stays"),
        (
            socket("BOUND", automatic=True, holders=(holder(process(812, "dig")),)),
            (False, False),
            "ends",
        ),
        (group("TIME_WAIT"), (False, False), "ends"),
        (group("TIME_WAIT", flags=(True, False)), (True, False), "free"),
        (group("TIME_WAIT", flags=UNKNOWN), (True, False), "ends"),
        (group("ESTABLISHED"), (False, False), "ends"),
        (group("FIN_WAIT1", with_fd=0), (False, False), "ends"),
    ],
)
def test_one_owner(
    owner: Socket | SocketGroup, flags: tuple[bool, bool], promised: Prospect
) -> None:
    seen = replace(snapshot(owner), facts=FACTS)
    assert prospect(explain_bind(request(flags=flags), seen)) == promised


def test_the_worst_counts() -> None:
    seen = replace(snapshot(socket("LISTEN"), group("TIME_WAIT")), facts=FACTS)
    assert prospect(explain_bind(request(), seen)) == "stays"
    free = explain_bind(request(), replace(snapshot(), facts=FACTS))
    ends = explain_bind(request(), replace(snapshot(group()), facts=FACTS))
    assert common_prospect([free, free]) == "free"
    assert common_prospect([free, ends]) == "ends"


@pytest.mark.parametrize(
    ("address", "promised"),
    [("10.9.9.9", "stays"), ("2001:db8::6", "ends"), ("2001:db8::7", "stays")],
)
def test_an_address(address: str, promised: Prospect) -> None:
    links = FACTS.links
    assert links is not None
    addresses = (*(FACTS.ipv6_addresses or ()), OwnAddress("2001:db8::7", "eth0", dad_failed=True))
    facts = replace(FACTS, ipv6_addresses=addresses)
    seen = replace(snapshot(), facts=facts)
    verdict = explain_bind(request(address), seen)
    assert prospect(verdict) == (promised if verdict.bind != "ok" else "free")
    busy = replace(snapshot(socket("LISTEN", "::")), facts=facts)
    assert prospect(explain_bind(request(address), busy)) == "stays"


def test_a_low_port_stays() -> None:
    seen = replace(snapshot(), facts=FACTS)
    assert prospect(explain_bind(request(port=80), seen)) == "stays"
