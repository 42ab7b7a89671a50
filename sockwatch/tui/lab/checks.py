"""Checks of what is typed into the forms: the value, or an error that says what to type instead."""

from __future__ import annotations

import ipaddress
import pwd
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from sockwatch.lab.model import EVERYWHERE, HOST_PORTS, LONGEST_NAME, Network
from sockwatch.model import SockwatchError

LARGEST_UID: Final = 2**32 - 2  # setresuid(2) takes the one above to mean "unchanged"
LARGEST_BACKLOG: Final = 2**31 - 1
LARGEST_PORT: Final = 65_535
MOST_CONNECTIONS: Final = 1000
_NAME: Final = re.compile(rf"[A-Za-z0-9_.-]{{1,{LONGEST_NAME}}}")

Input: TypeAlias = str | bool


class InputError(SockwatchError):
    """What is wrong with an input, and what to type instead."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the sandbox allows. `running` and `stopped` are the names of its processes."""

    network: Network = "own"
    many_uids: bool = True
    running: frozenset[str] = frozenset()
    stopped: frozenset[str] = frozenset()


class FormInput(NamedTuple):
    """The inputs of all fields by their names, as text or ticks, and what the sandbox allows."""

    inputs: Mapping[str, Input]
    limits: Limits


def name(text: str, form: FormInput) -> str:
    """The name of a process. Raises InputError, as every check here does."""
    if not _NAME.fullmatch(text):
        raise InputError(f"type 1 to {LONGEST_NAME} letters, digits, '-', '_' or '.'")
    if text in form.limits.stopped:
        raise InputError(f"{text} is stopped: type another name")
    return text


def port(text: str, form: FormInput) -> int:
    """A port to bind to; 0 means any."""
    number = _number(text, 0, LARGEST_PORT, "a port")
    if form.limits.network == "host" and 0 < number < HOST_PORTS.start:
        raise InputError(f"on the host the lab uses ports from {HOST_PORTS.start} up only")
    return number


def destination_port(text: str, form: FormInput) -> int:
    """A port to connect to."""
    _number(text, 1, LARGEST_PORT, "a port to connect to")
    return port(text, form)


def address(text: str, form: FormInput) -> str:
    """An address to bind or connect to."""
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        raise InputError(
            f"{text!r} is not an IP address: type one, such as 127.0.0.1, 0.0.0.0 or ::"
        ) from None
    if form.limits.network == "host" and text != EVERYWHERE and not parsed.is_loopback:
        raise InputError("on the host the lab uses loopback only: type 127.0.0.1 or ::1")
    return text


def source_address(text: str, form: FormInput) -> str:
    """An address that a client binds to before it connects."""
    address(text, form)
    destination = str(form.inputs["to"])
    if _ip_version(destination) not in (None, _ip_version(text)):
        raise InputError(f"must be the same IP version as the destination, {destination}")
    return text


def v6only(ticked: bool, form: FormInput) -> bool:
    """IPV6_V6ONLY, which only IPv6 sockets have."""
    if ticked and _ip_version(str(form.inputs["address"])) == 4:
        raise InputError("applies to IPv6 only: type an IPv6 address, such as ::, or untick it")
    return ticked


def leaks(ticked: bool, form: FormInput) -> bool:
    """Whether each child runs a program that keeps the listening fd."""
    if ticked and not form.inputs["forks"]:
        raise InputError("needs a child: tick 'forks a child per connection', or untick it")
    return ticked


def backlog(text: str, form: FormInput) -> int | None:
    """The backlog of listen(); None for UDP, which has none."""
    if form.inputs["protocol"] == "udp":
        return None
    try:
        return _number(text, 0, LARGEST_BACKLOG, "a backlog")
    except InputError:
        raise InputError(
            f"{text!r} is not a backlog: type a number, or clear it for bind() without listen()"
        ) from None


def group(text: str, form: FormInput) -> str:
    """An IPv4 multicast group."""
    try:
        is_group = ipaddress.IPv4Address(text).is_multicast
    except ValueError:
        is_group = False
    if not is_group:
        raise InputError(
            f"{text!r} is not an IPv4 multicast group: "
            "type 224.0.0.0 to 239.255.255.255, or clear it"
        )
    if form.inputs["protocol"] != "udp":
        raise InputError("only a UDP server can join one: choose udp, or clear it")
    return text


def user(text: str, form: FormInput) -> int:
    """The uid of a user, typed as a number or as a name of this host."""
    if not form.limits.many_uids:
        raise InputError("this sandbox has one user only; a second one needs root: clear it")
    if text.isascii() and text.isdigit():
        uid = _number(text, 0, LARGEST_UID, "a uid")
    else:
        try:
            uid = pwd.getpwnam(text).pw_uid
        except (KeyError, ValueError):
            raise InputError(f"there is no user {text!r}: type a uid or a user name") from None
    process = form.inputs["name"]
    if process in form.limits.running:
        raise InputError(f"{process} is already running: clear the user, or type another name")
    return uid


def connections(text: str, _form: FormInput) -> int:
    """How many connections a client makes."""
    return _number(text, 1, MOST_CONNECTIONS, "a number of connections")


def _number(text: str, lowest: int, highest: int, what: str) -> int:
    if not (text.isascii() and text.isdigit() and lowest <= int(text) <= highest):
        raise InputError(f"{text!r} is not {what}: type {lowest} to {highest}")
    return int(text)


def _ip_version(text: str) -> int | None:
    """4 or 6; None if it is not an address."""
    try:
        return ipaddress.ip_address(text).version
    except ValueError:
        return None
