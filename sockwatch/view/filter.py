"""The filter language: free text and ``key:value`` terms, joined by "and"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from sockwatch.model import STATES
from sockwatch.view import holders, port_facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sockwatch.model import Port, Process

Test: TypeAlias = "Callable[[Port], bool]"

_TERM = re.compile(r"\S+")
_KEYED = re.compile(r"([A-Za-z_]+):(?!:)(.*)")
_MAX_PORT = 65535
_STATE_ALIASES = {
    "est": ("ESTABLISHED",),
    "estab": ("ESTABLISHED",),
    "tw": ("TIME_WAIT",),
    "timewait": ("TIME_WAIT",),
    "listening": ("LISTEN",),
}
_HALF_OPEN, _ORPHAN = "HALF_OPEN", "ORPHAN"
_STATE_NAMES = (*STATES, _HALF_OPEN, _ORPHAN)


class FilterError(NamedTuple):
    """A wrong term: the span of the text that is wrong, what is wrong and what to type."""

    start: int
    end: int
    message: str


class WrongTermError(ValueError):
    """Its text says what is wrong with a term and what to type."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A parsed filter. Wrong terms are in `errors` and take no part in `matches`."""

    text: str = ""
    tests: tuple[Test, ...] = ()
    errors: tuple[FilterError, ...] = ()

    def matches(self, port: Port) -> bool:
        """Whether the port passes every term that is not wrong."""
        return all(test(port) for test in self.tests)


def parse_filter(text: str) -> Filter:
    """Read `text`; never raises, what is wrong is in `Filter.errors`."""
    tests: list[Test] = []
    errors: list[FilterError] = []
    for term in _TERM.finditer(text):
        try:
            tests.append(_term(term.group()))
        except WrongTermError as error:
            errors.append(FilterError(term.start(), term.end(), str(error)))
    return Filter(text, tuple(tests), tuple(errors))


def _term(term: str) -> Test:
    if term[0] in "-!":
        if len(term) == 1:
            raise WrongTermError(f"{term} excludes the word after it: type {term}java")
        inner = _term(term[1:])
        return lambda port: not inner(port)
    keyed = _KEYED.fullmatch(term)
    if keyed is None:
        return _free_text(term.casefold())
    key, value = keyed.group(1).casefold(), keyed.group(2)
    if key not in TERMS:
        terms = _listed([f"{name}:" for name in TERMS])
        raise WrongTermError(f"{key}: is not a filter term: type {terms}")
    make, _, example = TERMS[key]
    if not value:
        raise WrongTermError(f"{key}: needs a value: type {example}")
    tests = [make(part.casefold()) for part in value.split(",") if part]
    if not tests:
        raise WrongTermError(f"{key}: needs a value: type {example}")
    return tests[0] if len(tests) == 1 else lambda port: any(test(port) for test in tests)


def _listed(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _free_text(needle: str) -> Test:
    return lambda port: any(needle in text.casefold() for text in _texts(port))


def _texts(port: Port) -> Iterator[str]:
    yield f"{port.number}/{port.protocol}"
    yield from port.states
    for address in port_facts.addresses(port):
        yield f"{address}:{port.number}"
    if not port.holders:
        return
    for process in _processes(port):
        yield process.name
        yield process.command
        yield process.user
        if process.unit:
            yield process.unit


def _processes(port: Port) -> Iterator[Process]:
    for holder in holders.distinct(port.holders).values():
        if holder.process is not None:
            yield holder.process


def _port(value: str) -> Test:
    first, dash, last = value.partition("-")
    low = _port_number(first)
    high = _port_number(last) if dash else low
    if high < low:
        raise WrongTermError(f"the range {value} is empty: type port:{high}-{low}")
    return lambda port: low <= port.number <= high


def _port_number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise WrongTermError(
            f"{text or 'an empty text'} is not a port number: type port:8080 or port:8000-8100"
        )
    # Python refuses to read a number of more than 4300 digits.
    if len(text.lstrip("0")) > len(str(_MAX_PORT)) or int(text) > _MAX_PORT:
        raise WrongTermError(f"port {text[:12]} is too large: type 0 to {_MAX_PORT}")
    return int(text)


def _state(value: str) -> Test:
    wanted = value.upper().replace("-", "_")
    states = _STATE_ALIASES.get(value) or tuple(s for s in _STATE_NAMES if s.startswith(wanted))
    if not states:
        raise WrongTermError(
            f"{value} is not a state: type listen, unconn, bound, established, time_wait, "
            "close_wait, fin_wait1, fin_wait2, syn_sent, syn_recv, last_ack, closing, half_open "
            "or orphan"
        )
    return lambda port: any(_state_count(port, state) for state in states)


def _state_count(port: Port, state: str) -> int | None:
    if state == _HALF_OPEN:
        return port.half_open
    return port.orphans if state == _ORPHAN else port.states.get(state, 0)


def _process(value: str) -> Test:
    def test(port: Port) -> bool:
        if value.isdigit() and any(str(holder.pid) == value for holder in port.holders):
            return True
        return any(value in process.name.casefold() for process in _processes(port))

    return test


def _user(value: str) -> Test:
    def test(port: Port) -> bool:
        if any(value in process.user.casefold() for process in _processes(port)):
            return True
        uids = {owner.uid for owner in (*port.listeners, *port.bound)}
        uids.update(group.uid for group in port.groups)
        return value.isdigit() and any(str(uid) == value for uid in uids)

    return test


def _proto(value: str) -> Test:
    if value not in ("tcp", "udp"):
        raise WrongTermError(f"{value} is not a protocol: type proto:tcp or proto:udp")
    return lambda port: port.protocol == value


_FLAG_TESTS: dict[str, Test] = {
    "reuseaddr": lambda port: any(flags.reuseaddr for flags in port_facts.flags(port)),
    "reuseport": lambda port: any(flags.reuseport for flags in port_facts.flags(port)),
    "none": lambda port: any(
        flags.reuseaddr is False and flags.reuseport is False for flags in port_facts.flags(port)
    ),
    "unknown": lambda port: any(
        flags.reuseaddr is None or flags.reuseport is None for flags in port_facts.flags(port)
    ),
}


def _flag(value: str) -> Test:
    if value not in _FLAG_TESTS:
        raise WrongTermError(f"{value} is not a flag: type flag:{_listed(list(_FLAG_TESTS))}")
    return _FLAG_TESTS[value]


class TermHelp(NamedTuple):
    """A term of the language: how it is read, what it does, and an example."""

    make: Callable[[str], Test]
    help: str
    example: str


TERMS: dict[str, TermHelp] = {
    "port": TermHelp(_port, "port number, range or list", "port:8080, port:8000-8100, port:80,443"),
    "state": TermHelp(_state, "a socket in this state", "state:listen, state:tw, state:bound"),
    "process": TermHelp(_process, "part of a holder's name, or a pid", "process:nginx"),
    "user": TermHelp(_user, "part of a holder's user name, or a uid", "user:www"),
    "proto": TermHelp(_proto, "protocol", "proto:tcp, proto:udp"),
    "flag": TermHelp(
        _flag, "a socket with this reuse flag", "flag:reuseaddr, flag:reuseport, flag:none"
    ),
}
FREE_TEXT_HELP = "part of a name, command, address, port, state, user or unit"
NEGATION_HELP = "a term with - or ! before it must not match"
