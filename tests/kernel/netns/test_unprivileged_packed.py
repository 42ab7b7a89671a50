"""Snapshots as JSON and back."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

import sockwatch
from sockwatch.kernel.netns.packed import packed, unpacked
from sockwatch.model import (
    EVERY_PORT,
    Gap,
    GapCode,
    Holder,
    HostFacts,
    PortSet,
    Process,
    Snapshot,
    Socket,
)
from tests.support.json_values import JSON
from tests.support.time_waits import make_time_waits


@pytest.mark.parametrize("one_port", [False, True])
def test_a_snapshot_comes_back_as_it_was(netns: None, one_port: bool) -> None:
    with ExitStack() as stack:
        (number,) = make_time_waits(3, 1, stack, keep_open=2)
        stack.enter_context(socket.create_server(("::1", number), family=socket.AF_INET6))
        snapshot = sockwatch.take_snapshot(number if one_port else None)
    # What is decoded on access comes back decoded.
    ports = tuple(
        port._replace(connections=None if port.connections is None else tuple(port.connections))
        for port in snapshot.ports
    )
    assert ports
    there_and_back = unpacked(Snapshot, json.loads(json.dumps(packed(snapshot))))
    assert there_and_back == replace(snapshot, ports=ports)


def test_what_is_left_out_and_what_is_replaced() -> None:
    holder = Holder(7, 3, Process(7, "a", "a", "b", 1, 0.0, 1, "S", None))
    data = packed((holder,), Process)
    assert data == [[7, 3, None]]

    def known(record: Any) -> Any:
        return record._replace(fd=4) if isinstance(record, Holder) else record

    assert unpacked(tuple[Holder, ...], data, known) == (Holder(7, 4, None),)


def test_values_that_json_does_not_have() -> None:
    assert unpacked(PortSet, packed(EVERY_PORT)) == EVERY_PORT
    gap = Gap(GapCode.FLAGS_UNKNOWN, "text", None)
    assert unpacked(Gap, json.loads(json.dumps(packed(gap)))).code is GapCode.FLAGS_UNKNOWN
    facts = HostFacts(ancestors=frozenset({1, 2}), port_range=(1, 2))
    assert unpacked(HostFacts, packed(facts)) == facts


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (int, "1"),
        (int, True),
        (str, 1),
        (Holder, [1, 2]),
        (Holder, [1, "2", None]),
        (Holder, {"pid": 1, "fd": 2, "process": None}),
        (Gap, ["no-such-gap", "text", None]),
    ],
)
def test_what_is_none_of_the_type_is_refused(kind: Any, data: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        unpacked(kind, data)


@given(JSON)
def test_any_json_is_a_value_or_refused(data: Any) -> None:
    for kind in (Holder, Gap, Socket, Snapshot, tuple[Holder, ...]):
        with suppress(TypeError, ValueError):
            unpacked(kind, data)
