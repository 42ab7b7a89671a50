"""Ports whose sockets a snapshot has folded."""

from __future__ import annotations

import dataclasses

import pytest

import sockwatch
from sockwatch.model import Clients, Gap, GapCode, PortSet
from tests.support import build


@pytest.mark.parametrize(
    ("gaps", "more"),
    [((), set()), ((Gap(GapCode.BOUND_NOT_VISIBLE, "", None),), {GapCode.BOUND_UNSEEN})],
)
@pytest.mark.parametrize("number", [1, 7, 8, 65_535])
def test_depends_with_every_gap(number: int, gaps: tuple[Gap, ...], more: set[GapCode]) -> None:
    snapshot = dataclasses.replace(
        build.snapshot([]), gaps=gaps, clients=Clients(ports=PortSet.of([number]))
    )
    request = sockwatch.BindRequest("tcp", "127.0.0.1", number)
    verdict = sockwatch.explain_bind(request, snapshot)
    assert verdict.bind == "depends"
    assert {gap.code for gap in verdict.gaps} >= {GapCode.CLIENTS_FOLDED, *more}
    udp = sockwatch.explain_bind(sockwatch.BindRequest("udp", "127.0.0.1", number), snapshot)
    assert GapCode.CLIENTS_FOLDED not in {gap.code for gap in udp.gaps}


@pytest.mark.parametrize("numbers", [[], [0], [7], [8], [0, 7, 8, 65_535]])
def test_set_of_ports(numbers: list[int]) -> None:
    ports = PortSet.of(numbers)
    assert list(ports) == numbers
    assert len(ports) == len(numbers)
    assert [number for number in range(65_536) if number in ports] == numbers
