"""Which kernels test differently from 6.18. Each difference has a name and a span of releases.

A span comes from reading kernel trees (5.15.215, 6.0-rc1, 6.1.20, 6.4.6, 6.8.0, 6.18.24, 6.19.0)
and the histories of the stable ones. What was mended in a stable series ends there. `run` is the
release on which tests/bind/test_quirks.py has shown the difference. Of 4.18 to 5.9, 5.11 to 6.0,
6.2 to 6.11, and of 6.1 before 6.1.170, no kernel could be had.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import Final, NamedTuple

from sockwatch.model import Gap, GapCode

Release = tuple[int, int, int]

NEWEST_KNOWN: Final = (7, 3)  # the newest release whose rules were read or tried


class Quirk(Enum):
    """Something in which older kernels differ from 6.18."""

    PAIRWISE_OVERLAP = auto()
    """TCP compares addresses two by two, as UDP does."""
    TIME_WAIT_MISSED = auto()
    """A bind to a specific address does not see mini sockets."""
    DUAL_WILDCARD_MISSED = auto()
    """A bind to a specific IPv4 address does not see a dual-stack ::."""
    MAPPED_MISSED = auto()
    """An AF_INET bind to a specific address does not see v4-mapped owners."""
    MAPPED_WILDCARD_MISSED = auto()
    """A v4-mapped bind to a specific address does not see ::ffff:0.0.0.0."""
    V6ONLY_BLOCKS_MAPPED = auto()
    """A v4-mapped bind is blocked by a v6only ::."""
    ONE_WILDCARD_LIST = auto()
    """Only one of the lists of wildcard owners is searched."""
    REUSEADDR_MEMORY = auto()
    """SO_REUSEADDR that was cleared after bind() still counts as set."""
    REUSEPORT_MEMORY_OF_ANY_ADDRESS = auto()
    """The remembered SO_REUSEPORT binder covers every address."""
    MINIS_STAY = auto()
    """SOCK_DESTROY, as of `ss -K`, is refused for TIME_WAITs and other mini sockets."""
    ORPHANS_STAY = auto()
    """SOCK_DESTROY, as of `ss -K`, does nothing to a connection whose last fd is closed."""
    UDP_WILDCARD_MISSES = auto()
    """A wildcard UDP bind among many sockets sees only other wildcards."""


class Span(NamedTuple):
    """The releases that have a quirk: from `since` up to, not including, `before`.

    `run` is the newest of them that was booted (tests/vm/runs), and had it; None where no run is
    recorded, and the span is what was read.
    """

    quirk: Quirk
    since: Release
    before: Release
    run: Release | None = None


SPANS: tuple[Span, ...] = (
    Span(Quirk.PAIRWISE_OVERLAP, (0, 0, 0), (6, 1, 0)),
    Span(Quirk.TIME_WAIT_MISSED, (6, 1, 0), (6, 1, 5)),
    Span(Quirk.DUAL_WILDCARD_MISSED, (6, 1, 0), (6, 1, 21)),
    Span(Quirk.DUAL_WILDCARD_MISSED, (6, 2, 0), (6, 2, 8)),
    Span(Quirk.MAPPED_MISSED, (6, 1, 0), (6, 1, 54)),
    Span(Quirk.MAPPED_MISSED, (6, 2, 0), (6, 5, 4)),
    Span(Quirk.MAPPED_WILDCARD_MISSED, (6, 1, 168), (6, 2, 0)),
    Span(Quirk.MAPPED_WILDCARD_MISSED, (6, 6, 0), (6, 8, 0)),
    Span(Quirk.V6ONLY_BLOCKS_MAPPED, (6, 6, 0), (6, 6, 26)),
    Span(Quirk.V6ONLY_BLOCKS_MAPPED, (6, 7, 0), (6, 8, 5)),
    Span(Quirk.ONE_WILDCARD_LIST, (6, 1, 0), (6, 1, 85)),
    Span(Quirk.ONE_WILDCARD_LIST, (6, 2, 0), (6, 6, 26)),
    Span(Quirk.ONE_WILDCARD_LIST, (6, 7, 0), (6, 8, 5)),
    Span(Quirk.REUSEADDR_MEMORY, (0, 0, 0), (6, 8, 0)),
    Span(Quirk.REUSEPORT_MEMORY_OF_ANY_ADDRESS, (0, 0, 0), (6, 8, 0)),
    Span(Quirk.MINIS_STAY, (0, 0, 0), (6, 0, 0)),
    Span(Quirk.ORPHANS_STAY, (0, 0, 0), (6, 1, 132)),
    Span(Quirk.ORPHANS_STAY, (6, 2, 0), (6, 6, 84)),
    Span(Quirk.ORPHANS_STAY, (6, 7, 0), (6, 10, 8)),
    # Mended by the cure of CVE-2026-31503.
    Span(Quirk.UDP_WILDCARD_MISSES, (0, 0, 0), (6, 1, 168)),
    Span(Quirk.UDP_WILDCARD_MISSES, (6, 2, 0), (6, 6, 131)),
    Span(Quirk.UDP_WILDCARD_MISSES, (6, 7, 0), (6, 12, 80)),
    Span(Quirk.UDP_WILDCARD_MISSES, (6, 13, 0), (6, 18, 21)),
    Span(Quirk.UDP_WILDCARD_MISSES, (6, 19, 0), (6, 19, 11)),
)


def parse_release(kernel: str) -> Release | None:
    """Return (6, 18, 44) for "6.18.44-generic"; None if it does not begin with a release."""
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", kernel)
    if match is None:
        return None
    major, minor, patch = match.groups(default="0")
    return int(major), int(minor), int(patch)


def release_gaps(kernel: str) -> Iterator[Gap]:
    """What is not known of the rules of a kernel release."""
    release = parse_release(kernel)
    if release is None:
        yield Gap(
            GapCode.KERNEL_UNKNOWN,
            f"the kernel release {kernel!r} cannot be parsed; the rules of 6.18 are assumed",
            remedy=None,
        )
    elif release[:2] > NEWEST_KNOWN:
        newest = ".".join(map(str, NEWEST_KNOWN))
        yield Gap(
            GapCode.KERNEL_NEWER,
            f"Linux {kernel} is newer than {newest}, the last whose rules are known; the rules of"
            " 6.18 are assumed",
            "use a newer sockwatch",
        )


def quirks_of(release: Release | None) -> frozenset[Quirk]:
    """Return the quirks of an upstream release; none if it is not known."""
    if release is None:
        return frozenset()
    return frozenset(s.quirk for s in SPANS if s.since <= release < s.before)
