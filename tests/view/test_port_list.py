"""What a screen lists equals what one would select and sort anew; which ports have a row."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sockwatch.model import Clients, HostFacts, Port, PortSet, Snapshot
from sockwatch.view import port_list
from sockwatch.view.clients import as_ports
from sockwatch.view.column import SortKey
from sockwatch.view.filter import lists_each, parse_filter
from sockwatch.view.filter_language import Filter
from sockwatch.view.look import Look
from sockwatch.view.port_columns import PORT_COLUMNS
from sockwatch.view.port_list import PortList, free_text, is_free, select
from sockwatch.view.sorting import Order, key_in, sort_ports
from tests.support import build
from tests.support.build import group, port
from tests.view.test_clients import group as client_group

PORTS = build.web_host()
CHANGED = tuple(port._replace(states={"ESTABLISHED": n}) for n, port in enumerate(PORTS))
FILTERS = [parse_filter(text) for text in ("", "proto:tcp", "nginx", "-state:listen")]
SORTABLE = [column.key for column in PORT_COLUMNS if column.is_sortable]

LOOKS = st.lists(
    st.tuples(
        st.lists(st.sampled_from([*PORTS, *CHANGED]), unique_by=lambda port: port.key),
        st.sampled_from(FILTERS),
        st.builds(Order, st.sampled_from(SORTABLE), st.booleans()),
    ),
    max_size=6,
)


@settings(max_examples=25)
@given(LOOKS)
def test_as_if_nothing_were_remembered(looks: list[tuple[list[Port], Filter[Port], Order]]) -> None:
    shown = PortList()
    for ports, wanted, order in looks:
        expected = sort_ports(filter(wanted.matches, ports), order)
        assert shown.listed(Look.of(build.snapshot(ports)), wanted, order).all == expected


def test_only_a_port_that_changes_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def key(port: Port, order: Order) -> SortKey:
        asked.append(port.number)
        return key_in(port, order)

    monkeypatch.setattr(port_list, "key_in", key)
    shown, order = PortList(), Order("est")
    shown.listed(Look.of(build.snapshot(PORTS)), FILTERS[0], order)
    assert len(asked) == len(PORTS)
    shown.listed(Look.of(build.snapshot((CHANGED[0], *PORTS[1:]))), FILTERS[0], Order("est"))
    assert asked[len(PORTS) :] == [PORTS[0].number]


FAR = client_group(5, 2911)._replace(peer_address="10.0.0.5", peer_port=5432)
NEAR = client_group(6)._replace(peer_address="::ffff:127.0.0.1", lowest_port=40_001,
                                highest_port=40_002, state="TIME_WAIT")  # fmt: skip
UDP_CLIENT = port(50_000, groups=(group("ESTABLISHED", "10.0.0.1", 1),))._replace(protocol="udp")
SHARE = "under 1 % of the range"
OWN = [22, 53, 3306, 8080, 9000, 9100]


def folded() -> Snapshot:
    """The ports of the web host, two groups of client ports, and a client port of UDP."""
    clients = Clients((FAR, NEAR), PortSet.of([40_000, 40_001, 40_002]), told_apart=True)
    facts = HostFacts(port_range=(32_768, 60_999))
    ports = build.snapshot((*PORTS, UDP_CLIENT))
    return dataclasses.replace(ports, clients=clients, facts=facts)


def unfolded() -> Snapshot:
    """The same, each client port by itself."""
    ports = {port.number: port for each in (FAR, NEAR) for port in as_ports(each)}
    clients = [port._replace(connections=None) for port in ports.values()]
    found = folded()
    return dataclasses.replace(found, ports=(*found.ports, *clients), clients=Clients())


def rows(
    text: str, of: Snapshot, *, each: bool = False, asked: int | None = None
) -> tuple[list[int], list[str]]:
    found = PortList().listed(Look.of(of), parse_filter(text), Order(), each=each, asked=asked)
    return [port.number for port in found.ports], [row.text() for row in found.clients.values()]


def test_client_ports_have_one_row_for_each_protocol() -> None:
    own, clients = rows("", folded())
    assert own == OWN
    assert clients == [
        f"client ports: 3, {SHARE}, 2,911 to 10.0.0.5:5432, 1 to [::ffff:127.0.0.1]:443",
        f"client ports: 1, {SHARE}",
    ]


def test_without_folding_the_row_is_there_too() -> None:
    own, clients = rows("", unfolded())
    # TIME_WAITs alone may be those of a server that has gone.
    assert own == [*OWN, 40_001, 40_002]
    assert clients == [f"client ports: 1, {SHARE}"] * 2


def test_each_client_port() -> None:
    everything = [*OWN, 40_000, 40_001, 40_002, 50_000]
    assert rows("", unfolded(), each=True) == (everything, [])


@pytest.mark.parametrize(
    ("text", "own", "clients"),
    [
        ("client:", [], 2),
        ("client: proto:udp", [], 1),
        ("client: state:time_wait", [], 1),
        ("client: peer:5432", [], 1),
        ("-client:", OWN, 0),
        ("-client: state:bound", [9100], 0),
        ("peer:10.0.0.5:5432", [], 1),
        ("peer:10.0.0.5", [], 1),
        ("peer:5432,443", [], 1),
        ("peer:127.0.0.1", [], 1),
        ("peer:[::ffff:127.0.0.1]:443", [], 1),
        ("peer:10.0.0.5:443", [], 0),
        ("-peer:10.0.0.5 proto:tcp", [22, 3306, 8080, 9000, 9100], 1),
    ],
)
def test_filters_of_what_folding_tells(text: str, own: list[int], clients: int) -> None:
    assert parse_filter(text).errors == ()
    found, texts = rows(text, folded())
    assert found == own
    assert len(texts) == clients


def test_which_filters_need_each_client_port() -> None:
    need = ("nginx", "port:43210", "-client:", "peer:5432 port:43210")
    assert all(lists_each(parse_filter(text)) for text in need)
    assert not any(lists_each(parse_filter(text)) for text in ("", "client:", "peer:5432"))


def test_peers_of_the_port_that_is_looked_at() -> None:
    sockets = (build.socket("ESTABLISHED", "10.0.0.1", 8080, peer=("10.0.0.9", 51_000)),)
    seen = build.snapshot([build.gunicorn()._replace(connections=sockets)], only_port=8080)
    assert [len(select(seen, parse_filter(f"peer:10.0.0.9:{n}")).ports) for n in (51_000, 1)] == [
        1,
        0,
    ]


@pytest.mark.parametrize("text", ["peer:db", "peer:10.0.0.5:x", "peer:", "client:x"])
def test_wrong_terms(text: str) -> None:
    assert len(parse_filter(text).errors) == 1


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1234, "nobody has it, bind would succeed"),
        (40_000, "connections of clients have it, it depends whether bind would succeed"),
    ],
)
def test_a_number_that_has_no_row_is_a_row(number: int, text: str) -> None:
    seen = folded()
    for found in (
        PortList().listed(Look.of(seen), parse_filter(str(number)), Order()),
        PortList().listed(Look.of(seen), Filter(), Order(), asked=number),
    ):
        (row,) = (port for port in found.ports if port.number == number)
        assert is_free(row)
        assert free_text(row, seen) == text


@pytest.mark.parametrize(
    ("text", "asked", "expected"),
    [
        ("8080", None, [("tcp", 8080)]),
        ("53", None, [("udp", 53)]),
        ("53/tcp", None, [("tcp", 53)]),
        ("1234/udp", None, [("udp", 1234)]),
        ("state:bound", 8080, [("tcp", 8080), ("tcp", 9100)]),  # whatever the filter says
        ("1234 state:bound", None, []),
        ("port:0", None, []),
    ],
)
def test_which_row_that_is(text: str, asked: int | None, expected: list[tuple[str, int]]) -> None:
    found = PortList().listed(
        Look.of(build.snapshot(PORTS)), parse_filter(text), Order(), asked=asked
    )
    assert [port.key for port in found.ports] == expected


def test_a_port_that_nobody_may_bind() -> None:
    facts = HostFacts(uid=1000, net_bind_service=False, capabilities_count=True,
                      unprivileged_port_start=1024)  # fmt: skip
    seen = dataclasses.replace(build.snapshot(()), facts=facts)
    assert free_text(Port("tcp", 80, {}), seen) == "nobody has it, bind would get EACCES"
