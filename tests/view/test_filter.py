from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockwatch.model import Netns, Origin, Port, Process
from sockwatch.view.asked import Services
from sockwatch.view.filter import TERMS, parse_filter
from sockwatch.view.port_list import select
from tests.support import build
from tests.support.asked import texts_for_a_port

ALL = {22, 53, 3306, 8080, 9000, 9100}
PORTS = build.web_host()


def shown(text: str) -> set[int]:
    parsed = parse_filter(text)
    return {port.number for port in PORTS if parsed.matches(port)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ALL),
        ("   ", ALL),
        ("GUNI", {8080}),
        ("app", {8080}),
        ("127.0.0.1", {9000}),
        ("0.0.0.0:8080", {8080}),
        ("[::]:33", {3306}),
        ("tomcat", {9100}),
        ("ssh.service", {22}),
        ("time_wait", {8080, 9000}),
        ("port:22", {22}),
        ("port:22,53", {22, 53}),
        ("port:8000-9000", {8080, 9000}),
        ("PORT:22", {22}),
        ("port:53/udp,22", {22, 53}),
        ("8080,9000", {8080, 9000}),
        ("8000-9000", {8080, 9000}),
        ("8000-", set()),  # half a range
        ("53/udp", {53}),
        ("udp:53", {53}),
        ("udp/22", set()),
        (":::3306", {3306}),
        ("*:808", set()),
        ("*:8080", {8080}),
        ("localhost:9000", {9000}),
        ("127.0.0.1:80", set()),
        ("127.0.0.1:8080", {8080}),  # of 0.0.0.0 too
        ("http://localhost:8080/x", {8080}),
        ("-8080,9000", {22, 53, 3306, 9100}),
        ("70000", set()),
        ("state:listen", {22, 3306, 8080}),
        ("state:LI", {22, 3306, 8080}),
        ("state:est", {22, 8080}),
        ("state:tw", {8080, 9000}),
        ("state:time-wait", {8080, 9000}),
        ("state:bound", {9100}),
        ("state:close_wait,unconn", {8080, 53}),
        ("state:half_open", set()),
        ("state:orphan", set()),
        ("process:nginx", set()),
        ("process:gunicorn", {8080}),
        ("process:4243", {8080}),
        ("user:www", {8080}),
        ("user:33", {8080}),
        ("proto:udp", {53}),
        ("flag:reuseaddr", {22, 53, 8080}),
        ("flag:reuseport", {8080}),
        ("flag:none", {9100}),
        ("flag:unknown", {3306, 9000}),
        ("-state:listen", {53, 9000, 9100}),
        ("!proto:udp -flag:none", {22, 3306, 8080, 9000}),
        ("state:listen user:root", {22}),
        ("proto:tcp 22", {22}),
    ],
)
def test_matches(text: str, expected: set[int]) -> None:
    assert parse_filter(text).errors == ()
    assert shown(text) == expected


@pytest.mark.parametrize(
    ("text", "wrong", "message"),
    [
        ("a colour:red", "colour:red", "colour: is not a filter term: type port:, state:"),
        ("port:", "port:", "port: needs a value: type port:8080"),
        ("port:,", "port:,", "port: needs a value"),
        ("port:70000", "port:70000", "port 70000 is too large: type 0 to 65535"),
        ("port:nosuch", "port:nosuch", "'nosuch' is neither a port nor a service; type 8080"),
        ("port:1-", "port:1-", "1- has no end: type 1-65535"),
        ("port:9-1", "port:9-1", "the range 9-1 is empty: type 1-9"),
        ("ssh state:open", "state:open", "open is not a state: type listen"),
        (
            "flag:both",
            "flag:both",
            "both is not a flag: type flag:reuseaddr, reuseport, none or unknown",
        ),
        ("proto:sctp x", "proto:sctp", "sctp is not a protocol: type proto:tcp or proto:udp"),
        ("-", "-", "- excludes the word after it: type -java"),
        ("-port:x", "-port:x", "'x' is neither a port nor a service"),
    ],
)
def test_a_wrong_term_is_pointed_at(text: str, wrong: str, message: str) -> None:
    parsed = parse_filter(text)
    [error] = parsed.errors
    assert text[error.start : error.end] == wrong
    assert error.message.startswith(message)


SERVICES: Services = {("ssh", "tcp"): 22, ("tomcat", "tcp"): 8080}


@pytest.mark.parametrize(
    ("text", "typed", "exact"),
    [
        ("80", {8080}, set()),
        ("8080", {8080}, {8080}),
        ("127.0.0.1:900", {9000}, set()),
        ("tomcat", {8080, 9100}, {8080, 9100}),  # the port of the service, and the program
        ("port:tomcat", {8080}, {8080}),
        ("!80", ALL - {8080}, ALL),
        ("guni", {8080}, {8080}),
    ],
)
def test_a_word_may_be_half_typed_or_exact(text: str, typed: set[int], exact: set[int]) -> None:
    for is_exact, expected in ((False, typed), (True, exact)):
        parsed = parse_filter(text, SERVICES, exact=is_exact)
        assert {port.number for port in PORTS if parsed.matches(port)} == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("70000", "port 70000 is too large"),
        ("9-1", "the range 9-1 is empty"),
        ("8080:80", "'8080' is a number, not a host"),
        ("pid:80", "pid: is not a filter term"),
    ],
)
def test_an_exact_word_that_cannot_be_a_port(text: str, message: str) -> None:
    [error] = parse_filter(text, exact=True).errors
    assert error.message.startswith(message)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("80", 80),
        ("port:80 ssh", 80),
        ("http://localhost/", 80),
        ("80/udp,127.0.0.1:80", 80),
        ("ssh", None),  # or a program of that name
        ("80,81", None),
        ("80-81", None),
        ("!80", None),
        ("", None),
    ],
)
def test_the_only_number_that_can_match(text: str, number: int | None) -> None:
    assert parse_filter(text, SERVICES, exact=True).number == number


def test_a_wrong_term_takes_no_part() -> None:
    assert shown("port:70000 ssh") == {22}


WORDS = st.sampled_from(
    [*(f"{name}:" for name in TERMS), "-", "!", ",", " ", "8080", "tw", "²", "\n"]
)


@given(
    st.one_of(
        st.text(),
        st.lists(st.one_of(WORDS, st.text(max_size=4))).map("".join),
        texts_for_a_port(),
    ),
    st.booleans(),
)
def test_any_text_can_be_parsed(text: str, exact: bool) -> None:
    parsed = parse_filter(text, SERVICES, exact=exact)
    for port in PORTS:
        assert parsed.matches(port) in (True, False)
    terms = text.split()
    switches = [term for term in terms if re.fullmatch("[-!]?client:", term, re.IGNORECASE)]
    assert len(parsed.tests) + len(parsed.errors) + len(switches) == len(terms)
    assert bool(parsed.switches) == bool(switches)
    for error in parsed.errors:
        assert text[error.start : error.end] in terms
        assert "\n" not in error.message


@given(st.integers(0, 65535))
def test_negation_is_the_rest(number: int) -> None:
    assert shown(f"port:{number}") | shown(f"-port:{number}") == ALL
    assert shown(f"port:{number}") & shown(f"-port:{number}") == set()


def test_a_number_of_a_million_digits_is_too_large() -> None:
    [error] = parse_filter("port:" + "9" * 1_000_000).errors
    assert error.message == "port 999999999999 is too large: type 0 to 65535"


def of(process: Process, netns: Netns | None = None) -> Port:
    by = (build.holder(process),)
    return build.port(80, listeners=(build.socket("LISTEN", "::", 80, holders=by),))._replace(
        netns=netns
    )


OUTER = Origin("machine", "", "farm", "cgroup")
WEB2 = Origin("podman", "f00d" + "0" * 60, "web2", "cgroup", outer=OUTER)
SERVICE = Origin("unit", "", "nginx.service", "cgroup", outer=WEB2)
IN_WEB2 = of(build.process(7, "nginx")._replace(origin=SERVICE))
PLAIN = of(build.process(8, "nginx", unit="nginx.service"))
BLUE = of(build.process(9, "java"), Netns(4_026_532_290, "blue"))
IN_NETNS_OF_WEB2 = of(build.process(9, "proxy"), Netns(4_026_532_291, None, origin=WEB2))
PLACED = {"in": IN_WEB2, "plain": PLAIN, "blue": BLUE, "netns": IN_NETNS_OF_WEB2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("container:web2", {"in", "netns"}),
        ("container:WEB", {"in", "netns"}),
        ("container:f00d", {"in", "netns"}),
        ("container:00d0", set()),  # an id is known by how it starts
        ("container:farm", set()),  # a virtual machine is none
        ("unit:nginx", {"in", "plain"}),
        ("unit:container", set()),
        ("netns:blue", {"blue"}),
        ("netns:4026532290", {"blue"}),
        ("netns:402653229", set()),
        ("netns:web2", {"netns"}),
        ("netns:farm", {"netns"}),
        ("-netns:blue", {"in", "plain", "netns"}),
        ("blue", {"blue"}),
        ("web2", {"in", "netns"}),
        ("unit:nginx -container:web2", {"plain"}),
    ],
)
def test_where_a_port_is(text: str, expected: set[str]) -> None:
    parsed = parse_filter(text)
    assert parsed.errors == ()
    assert {name for name, port in PLACED.items() if parsed.matches(port)} == expected


def test_a_namespace_without_a_number_is_meant_by_its_process() -> None:
    port = of(build.process(9, "java"), Netns(None, None, pid=812))
    assert parse_filter("netns:812").matches(port)
    assert not parse_filter("netns:81").matches(port)


def test_the_namespace_of_a_snapshot_is_that_of_its_ports() -> None:
    seen = build.snapshot(PORTS)  # of the host
    assert len(select(seen, parse_filter("netns:host")).ports) == len(PORTS)
    assert select(seen, parse_filter("netns:blue")).ports == []
