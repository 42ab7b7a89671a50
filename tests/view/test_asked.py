"""What people type for a port, as they type it."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sockwatch.model import Protocol
from sockwatch.view.asked import (
    MAX_PORT,
    Asked,
    NoPortError,
    Services,
    WrongPortError,
    parse_asked,
)
from tests.support import build
from tests.support.asked import texts_for_a_port

SERVICES: Services = {
    ("http", "tcp"): 80,
    ("http-alt", "tcp"): 8080,
    ("domain", "tcp"): 53,
    ("domain", "udp"): 53,
    ("ntp", "udp"): 123,
    ("shell", "tcp"): 514,
    ("syslog", "udp"): 514,
}


def one(number: int, host: str = "", protocol: Protocol | None = None) -> Asked:
    return Asked(number, number, protocol, host)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8080", one(8080)),
        (":8080", one(8080)),
        ("*:8080", one(8080)),
        ("08080", one(8080)),
        ("0", one(0)),
        ("127.0.0.1:8080", one(8080, "127.0.0.1")),
        ("web-1.example:8080", one(8080, "web-1.example")),
        ("LOCALHOST:3000", one(3000, "localhost")),
        (":::3000", one(3000, "::")),
        ("[::]:3000", one(3000, "::")),
        ("[::1]:http", one(80, "::1")),
        ("[fe80::1%eth0]:80", one(80, "fe80::1%eth0")),
        ("::1:43210", one(43210, "::1")),  # no address: a group has four digits
        ("::ffff:127.0.0.1:8080", one(8080, "::ffff:127.0.0.1")),
        ("http://localhost:3000/", one(3000, "localhost")),
        ("http://user:secret@db.example:3000/a:1?b=c", one(3000, "db.example")),
        ("https://db.example/", one(443, "db.example")),
        ("HTTP://[::1]/", one(80, "::1")),
        ("http://*:3000", one(3000)),
        ("wss://127.0.0.1#x", one(443, "127.0.0.1")),
        ("tcp://0.0.0.0:2375", one(2375, "0.0.0.0", "tcp")),
        ("localhost:3000/index.html", one(3000, "localhost")),
        ("3000/", one(3000)),
        ("3000/udp", one(3000, protocol="udp")),
        ("127.0.0.1:53/UDP", one(53, "127.0.0.1", "udp")),
        ("udp/3000", one(3000, protocol="udp")),
        ("tcp:3000", one(3000, protocol="tcp")),
        ("0.0.0.0:8080->80/tcp", one(8080, "0.0.0.0", "tcp")),
        ("http", one(80)),
        ("HTTP-alt", one(8080)),
        ("domain", one(53)),
        ("domain/udp", one(53, protocol="udp")),
        ("http/udp", one(80, protocol="udp")),
        ("ntp", one(123, protocol="udp")),
        ("8000-8010", Asked(8000, 8010)),
        ("localhost:8000-8010/udp", Asked(8000, 8010, "udp", "localhost")),
    ],
)
def test_one_word(text: str, expected: Asked) -> None:
    assert parse_asked(text, SERVICES) == (expected,)


@pytest.mark.parametrize("text", ["8080,9000", " 8080 9000\n", "8080, 9000,", ",8080,,:9000"])
def test_several_words(text: str) -> None:
    assert parse_asked(text) == (one(8080), one(9000))


def test_a_mixture() -> None:
    assert parse_asked("8000-8010,domain/udp,http://localhost/,[::1]:22", SERVICES) == (
        Asked(8000, 8010),
        one(53, protocol="udp"),
        one(80, "localhost"),
        one(22, "::1"),
    )


@pytest.mark.parametrize(
    ("text", "number"), [("syslog", 514), ("domain", 53), ("http", 80), ("8080", 8080)]
)
def test_a_protocol_that_was_asked_for_elsewhere(text: str, number: int) -> None:
    assert parse_asked(text, SERVICES, "udp") == (one(number, protocol="udp"),)


def test_the_web_needs_no_file_of_services() -> None:
    assert parse_asked("http,https") == (one(80), one(443))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("70000", "port 70000 is too large: type 0 to 65535"),
        ("9" * 5000, "port 999999999999 is too large: type 0 to 65535"),
        ("9-1", "the range 9-1 is empty: type 1-9"),
        ("8000-", "8000- has no end: type 8000-65535"),
        ("8080:80", "'8080' is a number, not a host; type 8080,9000 for two ports"),
        ("3000/sctp", "'sctp' is not a protocol; type 3000/udp"),
    ],
)
def test_a_port_that_cannot_be(text: str, message: str) -> None:
    with pytest.raises(WrongPortError) as error:
        parse_asked(text, SERVICES)
    assert str(error.value) == message


def test_a_protocol_against_the_other() -> None:
    with pytest.raises(WrongPortError, match="'3000/tcp' is not for udp; type the port alone"):
        parse_asked("3000/tcp", SERVICES, "udp")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no port in ''; type 8080"),
        (" ,", "there is no port in ' ,'; type 8080"),
        ("nginx", "'nginx' is neither a port nor a service; type 8080"),
        ("localhost", "'localhost' has no port; type localhost:8080"),
        ("127.0.0.1", "'127.0.0.1' has no port; type 127.0.0.1:8080"),
        ("127.0.0.1:", "'127.0.0.1:' is neither a port nor a service"),
        ("[::1]", "'[::1]' has no port"),
        ("[::1", "'[::1' has no port"),
        ("[::1]8080", "'[::1]8080' has no port"),
        ("::1:80", "'::1:80' needs brackets around its IPv6 address"),
        ("::1", "'::1' needs brackets around its IPv6 address"),
        ("gopher://host/", "'gopher' is neither a port nor a service"),
        ("http://", "'http://' is neither a port nor a service"),
        ("$(id):80", "'$(id)' is neither an address nor a host name"),
        ("\u0668\u0660", "'\u0668\u0660' is neither a port nor a service"),
        ("8080\0", "'8080\\x00' is neither a port nor a service"),
    ],
)
def test_no_port(text: str, message: str) -> None:
    with pytest.raises(NoPortError) as error:
        parse_asked(text, SERVICES)
    assert str(error.value).startswith(message)
    assert not isinstance(error.value, WrongPortError)


@given(texts_for_a_port(), st.sampled_from(["tcp", "udp", None]))
@example("[\udcff]:80", None)
@example("0:\U00018cd6", "tcp")
@example("::1%\u2028:80", None)
def test_any_text_asks_for_ports_or_gets_one_line(text: str, protocol: Protocol | None) -> None:
    try:
        asked = parse_asked(text, SERVICES, protocol)
    except NoPortError as error:
        assert str(error).isprintable()  # noqa: PT017
        assert len(str(error)) < 400  # noqa: PT017
    else:
        assert asked
        for each in asked:
            assert 0 <= each.first <= each.last <= MAX_PORT
            assert protocol in (None, each.protocol)


LOOPBACK = build.port(80, listeners=(build.socket("LISTEN", "127.0.0.1", 80),))
OF_ALL = build.port(80, listeners=(build.socket("LISTEN", "::", 80),))
LEFT = build.port(80, groups=(build.group("TIME_WAIT", "10.0.0.1", 3),))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", (True, True, True)),
        ("*:80", (True, True, True)),
        ("0.0.0.0:80", (True, True, True)),
        ("127.0.0.1:80", (True, True, False)),
        ("localhost:80", (True, True, False)),
        ("10.0.0.1:80", (False, True, True)),
        ("[::1]:80", (False, True, False)),
        ("db.example:80", (True, True, True)),  # its address is not known here
        ("80/udp", (False, False, False)),
        ("81", (False, False, False)),
        ("79-81", (True, True, True)),
    ],
)
def test_the_ports_that_match(text: str, expected: tuple[bool, bool, bool]) -> None:
    (asked,) = parse_asked(text)
    assert tuple(asked.matches(port) for port in (LOOPBACK, OF_ALL, LEFT)) == expected
