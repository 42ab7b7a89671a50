from __future__ import annotations

import pytest

from sockwatch.view.port_columns import PORT_COLUMNS, port_columns_for
from sockwatch.view.sorting import Order, sort_ports
from tests.support import build
from tests.support.build import group, port


def numbers(order: Order) -> list[int]:
    return [found.number for found in sort_ports(build.web_host(), order)]


def test_the_default_is_number_then_protocol() -> None:
    assert numbers(Order()) == [22, 53, 3306, 8080, 9000, 9100]
    both = [build.dns(), build.dns()._replace(protocol="tcp")]
    assert [found.protocol for found in sort_ports(both, Order())] == ["tcp", "udp"]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("port", [22, 53, 3306, 8080, 9000, 9100]),
        ("proto", [22, 3306, 8080, 9000, 9100, 53]),
        ("est", [8080, 22, 53, 3306, 9000, 9100]),
        ("tw", [8080, 9000, 22, 3306, 9100, 53]),
        ("queue", [3306, 22, 8080, 53, 9000, 9100]),
        ("process", [8080, 9100, 22, 53, 3306, 9000]),
        ("age", [22, 53, 8080, 9100, 3306, 9000]),
    ],
)
def test_sort(key: str, expected: list[int]) -> None:
    assert numbers(Order(key)) == expected


@pytest.mark.parametrize("column", PORT_COLUMNS, ids=lambda column: column.key)
def test_inverting_keeps_every_port(column: object) -> None:
    key = str(getattr(column, "key", ""))
    ports = [port(n, groups=(group("TIME_WAIT", f"10.0.0.{n % 7}", n),)) for n in range(1, 40)]
    there = sort_ports(ports, Order(key))
    back = sort_ports(ports, Order(key).invert())
    keys = [Order(key).column.sort_key(p) for p in there]
    assert keys == [Order(key).column.sort_key(p) for p in reversed(back)]
    assert {p.number for p in there} == {p.number for p in back} == set(range(1, 40))


def test_steps_go_around_the_shown_columns() -> None:
    shown = port_columns_for(80, lambda _port: "ok")
    order = Order()
    for column in (*(column for column in shown[1:] if column.key != "restart"), shown[0]):
        order = order.step(1, shown)
        assert order.key == column.key
    assert order.step(-1, shown).key == "process"
    assert Order("command").step(1, shown).key == "port"
