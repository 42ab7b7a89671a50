"""The forms of free play are read strictly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sockwatch.lab.model import ClientSpec, ServerSpec
from sockwatch.tui.lab.checks import Limits
from sockwatch.tui.lab.client_form import CLIENT_FORM
from sockwatch.tui.lab.fields import Reading
from sockwatch.tui.lab.server_form import SERVER_FORM

OWN = Limits()
HOST = Limits("host", many_uids=True)


def read_server(limits: Limits = OWN, **changes: Any) -> Reading[ServerSpec]:
    """Read the form as it opens, but for these inputs."""
    spec = ServerSpec()
    return SERVER_FORM.read(spec, SERVER_FORM.inputs("server-1", spec) | changes, limits)


def read_client(limits: Limits = OWN, **changes: Any) -> Reading[ClientSpec]:
    spec = ClientSpec(patience_s=2.0)
    return CLIENT_FORM.read(spec, CLIENT_FORM.inputs("client-1", spec) | changes, limits)


def test_the_form_as_it_opens_is_the_daytime_server() -> None:
    assert read_server() == Reading("server-1", ServerSpec(), ())


@pytest.mark.parametrize(
    "spec",
    [
        ServerSpec(),
        ServerSpec(address="::", port=0, reuseaddr=True, reuseport=True, v6only=True, late=True),
        ServerSpec(backlog=None, accepts=False, closes="nobody", forks=False),
        ServerSpec(execs=True, cloexec=False, closes="client", backlog=0),
        ServerSpec("udp", group="224.0.0.9", uid=33, backlog=None),
    ],
)
def test_a_form_filled_in_for_a_server_asks_for_it(spec: ServerSpec) -> None:
    inputs = SERVER_FORM.inputs("x", spec)
    assert SERVER_FORM.read(ServerSpec(port=1), inputs, OWN) == Reading("x", spec, ())


@pytest.mark.parametrize(
    ("changes", "limits", "field", "text"),
    [
        ({"name": ""}, OWN, "name", "type 1 to 15"),
        ({"name": "a b"}, OWN, "name", "type 1 to 15"),
        ({"name": "x" * 16}, OWN, "name", "1 to 15 letters"),
        ({"name": "x"}, replace(OWN, stopped=frozenset("x")), "name", "x is stopped"),
        ({"address": ""}, OWN, "address", "is not an IP address"),
        ({"address": "localhost"}, OWN, "address", "'localhost' is not an IP address"),
        ({"address": "10.0.0.1"}, HOST, "address", "uses loopback only"),
        ({"address": "::"}, HOST, "address", "uses loopback only"),
        ({"port": ""}, OWN, "port", "type 0 to 65535"),
        ({"port": "65536"}, OWN, "port", "'65536' is not a port"),
        ({"port": "-1"}, OWN, "port", "is not a port"),
        ({"port": "\u0663"}, OWN, "port", "is not a port"),
        ({"port": "80"}, HOST, "port", "from 10000 up"),
        ({"backlog": "many"}, OWN, "backlog", "clear it for bind() without listen()"),
        ({"backlog": "-1"}, OWN, "backlog", "is not a backlog"),
        ({"backlog": "2147483648"}, OWN, "backlog", "is not a backlog"),
        ({"v6only": True}, OWN, "v6only", "applies to IPv6 only"),
        ({"leaks": True, "forks": False}, OWN, "leaks", "needs a child"),
        ({"group": "224.0.0.9"}, OWN, "group", "only a UDP server"),
        ({"group": "10.0.0.1", "protocol": "udp"}, OWN, "group", "is not an IPv4 multicast group"),
        ({"group": "ff02::1", "protocol": "udp"}, OWN, "group", "is not an IPv4 multicast group"),
        ({"uid": "nobody-here"}, OWN, "uid", "there is no user"),
        ({"uid": "4294967295"}, OWN, "uid", "is not a uid"),
        ({"uid": "a\0b"}, OWN, "uid", "there is no user"),
        ({"uid": "1"}, replace(OWN, many_uids=False), "uid", "one user only"),
        ({"uid": "1"}, replace(OWN, running=frozenset(["server-1"])), "uid", "already running"),
    ],
)
def test_what_is_wrong_with_a_server(
    changes: dict[str, Any], limits: Limits, field: str, text: str
) -> None:
    mistakes = read_server(limits, **changes).mistakes
    assert [mistake.field for mistake in mistakes] == [field]
    assert text in mistakes[0].text


def test_an_empty_backlog_is_bind_without_listen() -> None:
    reading = read_server(backlog="")
    assert (reading.spec.backlog, reading.mistakes) == (None, ())


def test_a_user_by_name() -> None:
    reading = read_server(uid="root")
    assert (reading.spec.uid, reading.mistakes) == (0, ())


def test_a_running_process_may_open_another_socket() -> None:
    assert read_server(replace(OWN, running=frozenset(["server-1"]))).mistakes == ()


def test_every_mistake_is_named() -> None:
    mistakes = read_server(name="", port="x", address="y", v6only=True).mistakes
    assert [mistake.field for mistake in mistakes] == ["name", "address", "port"]


def test_two_fields_that_are_called_the_same_are_told_apart() -> None:
    mistakes = read_client(to="x", address="x").mistakes
    assert mistakes[0].text.startswith("to address: 'x' is not")
    assert mistakes[1].text.startswith("from address: 'x' is not")


def test_a_client() -> None:
    reading = read_client()
    assert reading == Reading("client-1", ClientSpec(patience_s=2.0), ())
    assert not reading.spec.binds
    reading = read_client(
        address="127.0.0.2", port="40000", reuseaddr=True, count="1000", closes="nobody"
    )
    assert reading.spec == ClientSpec(
        address="127.0.0.2", port=40000, reuseaddr=True, count=1000, closes="nobody",
        patience_s=2.0,
    )  # fmt: skip
    assert (reading.spec.binds, reading.mistakes) == (True, ())


@pytest.mark.parametrize(
    ("changes", "limits", "field", "text"),
    [
        ({"name": "?"}, OWN, "name", "type 1 to 15"),
        ({"to": "here"}, OWN, "to", "is not an IP address"),
        ({"to": "8.8.8.8"}, HOST, "to", "uses loopback only"),
        ({"to_port": "0"}, OWN, "to_port", "type 1 to 65535"),
        ({"count": "0"}, OWN, "count", "type 1 to 1000"),
        ({"count": "1001"}, OWN, "count", "type 1 to 1000"),
        ({"address": "x"}, OWN, "address", "is not an IP address"),
        ({"address": "::1"}, OWN, "address", "same IP version as the destination, 127.0.0.1"),
        ({"port": "x"}, OWN, "port", "is not a port"),
    ],
)
def test_what_is_wrong_with_a_client(
    changes: dict[str, Any], limits: Limits, field: str, text: str
) -> None:
    mistakes = read_client(limits, **changes).mistakes
    assert [mistake.field for mistake in mistakes] == [field]
    assert text in mistakes[0].text
