from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockwatch.view.filter import TERMS, parse_filter
from tests.support import build

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
        ("port:http", "port:http", "http is not a port number: type port:8080"),
        ("port:1-", "port:1-", "an empty text is not a port number"),
        ("port:9-1", "port:9-1", "the range 9-1 is empty: type port:1-9"),
        ("ssh state:open", "state:open", "open is not a state: type listen"),
        (
            "flag:both",
            "flag:both",
            "both is not a flag: type flag:reuseaddr, reuseport, none or unknown",
        ),
        ("proto:sctp x", "proto:sctp", "sctp is not a protocol: type proto:tcp or proto:udp"),
        ("-", "-", "- excludes the word after it: type -java"),
        ("-port:x", "-port:x", "x is not a port number"),
    ],
)
def test_a_wrong_term_is_pointed_at(text: str, wrong: str, message: str) -> None:
    parsed = parse_filter(text)
    [error] = parsed.errors
    assert text[error.start : error.end] == wrong
    assert error.message.startswith(message)


def test_a_wrong_term_takes_no_part() -> None:
    assert shown("port:70000 ssh") == {22}


WORDS = st.sampled_from(
    [*(f"{name}:" for name in TERMS), "-", "!", ",", " ", "8080", "tw", "²", "\n"]
)


@given(st.one_of(st.text(), st.lists(st.one_of(WORDS, st.text(max_size=4))).map("".join)))
def test_any_text_can_be_parsed(text: str) -> None:
    parsed = parse_filter(text)
    for port in PORTS:
        assert parsed.matches(port) in (True, False)
    terms = text.split()
    assert len(parsed.tests) + len(parsed.errors) == len(terms)
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
