"""The forms of free play are read strictly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sockwatch.lab.model import ClientSpec, ServerSpec
from sockwatch.tui.lab.checks import Surroundings
from sockwatch.tui.lab.fields import (
    PATIENCE_S,
    ClientFields,
    ServerFields,
    read_client,
    read_server,
)

SERVER, CLIENT = ServerFields("server-1"), ClientFields("client-1")
OWN = Surroundings()
HOST = Surroundings("host", many_uids=True)


def test_the_form_as_it_opens_is_the_daytime_server() -> None:
    wish, wrong = read_server(SERVER, OWN)
    assert (wish.name, wish.spec, wrong) == ("server-1", ServerSpec(), ())


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
    wish, wrong = read_server(ServerFields.of("x", spec), OWN)
    assert (wish.spec, wrong) == (spec, ())


@pytest.mark.parametrize(
    ("changes", "around", "field", "text"),
    [
        ({"name": ""}, OWN, "name", "type a name"),
        ({"name": "a b"}, OWN, "name", "type a name"),
        ({"name": "x" * 16}, OWN, "name", "1 to 15"),
        ({"name": "x"}, replace(OWN, stopped=frozenset("x")), "name", "x is stopped"),
        ({"address": ""}, OWN, "address", "is no address"),
        ({"address": "localhost"}, OWN, "address", "'localhost' is no address"),
        ({"address": "10.0.0.1"}, HOST, "address", "keeps to loopback"),
        ({"address": "::"}, HOST, "address", "keeps to loopback"),
        ({"port": ""}, OWN, "port", "type 0 to 65535"),
        ({"port": "65536"}, OWN, "port", "'65536' is no port"),
        ({"port": "-1"}, OWN, "port", "is no port"),
        ({"port": "\u0663"}, OWN, "port", "is no port"),
        ({"port": "80"}, HOST, "port", "from 10000 up"),
        ({"backlog": "many"}, OWN, "backlog", "none for bind() without listen()"),
        ({"backlog": "-1"}, OWN, "backlog", "is no backlog"),
        ({"backlog": "2147483648"}, OWN, "backlog", "is no backlog"),
        ({"v6only": True}, OWN, "v6only", "for an IPv6 address"),
        ({"leaks": True, "forks": False}, OWN, "leaks", "needs a child"),
        ({"group": "224.0.0.9"}, OWN, "group", "only a udp server"),
        ({"group": "10.0.0.1", "protocol": "udp"}, OWN, "group", "is no IPv4 group"),
        ({"group": "ff02::1", "protocol": "udp"}, OWN, "group", "is no IPv4 group"),
        ({"user": "nobody-here"}, OWN, "user", "there is no user"),
        ({"user": "4294967295"}, OWN, "user", "is no uid"),
        ({"user": "a\0b"}, OWN, "user", "there is no user"),
        ({"user": "1"}, replace(OWN, many_uids=False), "user", "one user only"),
        ({"user": "1"}, replace(OWN, running=frozenset(["server-1"])), "user", "runs already"),
    ],
)
def test_what_is_wrong_with_a_server(
    changes: dict[str, Any], around: Surroundings, field: str, text: str
) -> None:
    _, wrong = read_server(replace(SERVER, **changes), around)
    assert [one.field for one in wrong] == [field]
    assert text in wrong[0].text


@pytest.mark.parametrize("text", ["", "none"])
def test_no_backlog_is_bind_without_listen(text: str) -> None:
    wish, wrong = read_server(replace(SERVER, backlog=text), OWN)
    assert (wish.spec.backlog, wrong) == (None, ())


def test_a_user_by_name() -> None:
    wish, wrong = read_server(replace(SERVER, user="root"), OWN)
    assert (wish.spec.uid, wrong) == (0, ())


def test_a_running_process_may_open_another_socket() -> None:
    assert read_server(SERVER, replace(OWN, running=frozenset(["server-1"])))[1] == ()


def test_everything_that_is_wrong_is_named() -> None:
    fields = replace(SERVER, name="", port="x", address="y")
    assert [one.field for one in read_server(fields, OWN)[1]] == ["name", "address", "port"]


def test_a_client() -> None:
    wish, wrong = read_client(CLIENT, OWN)
    assert (wish.spec, wrong) == (ClientSpec(patience_s=PATIENCE_S), ())
    assert not wish.spec.binds
    own = replace(CLIENT, address="127.0.0.2", port="40000", reuseaddr=True, count="1000")
    wish, wrong = read_client(own, OWN)
    assert (wish.spec.address, wish.spec.port, wish.spec.count) == ("127.0.0.2", 40000, 1000)
    assert (wish.spec.binds, wrong) == (True, ())


@pytest.mark.parametrize(
    ("changes", "around", "field", "text"),
    [
        ({"name": "?"}, OWN, "name", "type a name"),
        ({"to": "here"}, OWN, "to", "is no address"),
        ({"to": "8.8.8.8"}, HOST, "to", "keeps to loopback"),
        ({"to_port": "0"}, OWN, "to_port", "type 1 to 65535"),
        ({"count": "0"}, OWN, "count", "type 1 to 1000"),
        ({"count": "1001"}, OWN, "count", "type 1 to 1000"),
        ({"address": "x"}, OWN, "address", "is no address"),
        ({"address": "::1"}, OWN, "address", "both IPv4 or both IPv6"),
        ({"port": "x"}, OWN, "port", "is no port"),
    ],
)
def test_what_is_wrong_with_a_client(
    changes: dict[str, Any], around: Surroundings, field: str, text: str
) -> None:
    _, wrong = read_client(replace(CLIENT, **changes), around)
    assert [one.field for one in wrong] == [field]
    assert text in wrong[0].text
