"""The ports of services, as services(5) has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from typing import Final

from sockwatch.kernel.expendable import call
from sockwatch.model import PROTOCOLS, Protocol

PATHS: Final = ("/etc/services", "/usr/etc/services")  # the second is openSUSE's; the first counts


@cache
def known_services() -> Mapping[tuple[str, Protocol], int]:
    """The port by (name in lower case, protocol); empty if no file can be read in time.

    NSS is not asked: a directory service may take seconds, and the filter asks with each key.
    """
    return call(_read) or {}


def _read() -> dict[tuple[str, Protocol], int]:
    ports: dict[tuple[str, Protocol], int] = {}
    for path in PATHS:
        with suppress(OSError), open(path, encoding="utf-8", errors="replace") as lines:
            for key, number in parse_services(lines):
                ports.setdefault(key, number)
    return ports


def parse_services(lines: Iterable[str]) -> Iterator[tuple[tuple[str, Protocol], int]]:
    """((name or alias, protocol), port) of the TCP and UDP services in the lines of the file."""
    for line in lines:
        name, *fields = line.partition("#")[0].split() or [""]
        if not fields:
            continue
        number, _, protocol = fields[0].partition("/")
        if not (number.isascii() and number.isdigit() and len(number) <= 5):
            continue
        for known in PROTOCOLS:
            if protocol == known:
                yield from (((word.lower(), known), int(number)) for word in (name, *fields[1:]))
