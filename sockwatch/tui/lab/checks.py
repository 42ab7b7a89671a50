"""Checks of what is typed into the forms: a value, or what is wrong and what to type instead."""

from __future__ import annotations

import ipaddress
import pwd
import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from sockwatch.lab.model import EVERYWHERE, LONGEST_NAME
from sockwatch.lab.rehearsal import HOST_PORTS
from sockwatch.lab.stage import Place
from sockwatch.model import SockwatchError

LARGEST_UID: Final = 2**32 - 2  # the one above means "leave it" to setresuid(2)
LARGEST_BACKLOG: Final = 2**31 - 1
LARGEST_PORT: Final = 65_535
_NAME: Final = re.compile(rf"[A-Za-z0-9_.-]{{1,{LONGEST_NAME}}}")


class WrongError(SockwatchError):
    """What is wrong with a field, and what to type."""


class Wrong(NamedTuple):
    """A field by its name, and the sentence about it."""

    field: str
    text: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the stage allows. `running` and `stopped` are the names of its processes."""

    place: Place = "own"
    many_uids: bool = True
    running: frozenset[str] = frozenset()
    stopped: frozenset[str] = frozenset()


def name(text: str, around: Surroundings) -> str:
    if not _NAME.fullmatch(text):
        raise WrongError(f"type a name of 1 to {LONGEST_NAME} letters, digits, - _ .")
    if text in around.stopped:
        raise WrongError(f"{text} is stopped and does nothing: type another name")
    return text


def number(text: str, lowest: int, highest: int, what: str) -> int:
    if not (text.isascii() and text.isdigit() and lowest <= int(text) <= highest):
        raise WrongError(f"{text!r} is no {what}: type {lowest} to {highest}")
    return int(text)


def port(text: str, place: Place, *, lowest: int = 0) -> int:
    found = number(text, lowest, LARGEST_PORT, "port")
    if place == "host" and 0 < found < HOST_PORTS.start:
        raise WrongError(f"on the host the lab keeps to ports from {HOST_PORTS.start} up")
    return found


def address(text: str, place: Place) -> str:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        raise WrongError(
            f"{text!r} is no address: type one like 127.0.0.1, 0.0.0.0 or ::"
        ) from None
    if place == "host" and text != EVERYWHERE and not found.is_loopback:
        raise WrongError("on the host the lab keeps to loopback: type 127.0.0.1 or ::1")
    return text


def group(text: str, protocol: str) -> str:
    try:
        found = ipaddress.IPv4Address(text)
    except ValueError:
        found = None
    if found is None or not found.is_multicast:
        raise WrongError(f"{text!r} is no IPv4 group: type 224.0.0.0 to 239.255.255.255, or clear")
    if protocol != "udp":
        raise WrongError("only a udp server joins a group: choose udp, or clear it")
    return text


def user(text: str, *, many_uids: bool) -> int:
    if not many_uids:
        raise WrongError("this stage has one user only, since a second one needs root: clear it")
    if text.isascii() and text.isdigit():
        return number(text, 0, LARGEST_UID, "uid")
    try:
        return pwd.getpwnam(text).pw_uid
    except (KeyError, ValueError):
        raise WrongError(f"there is no user {text!r}: type a uid or a user's name") from None
