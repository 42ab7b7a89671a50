"""Which kernels test differently from 6.18. Each difference has a name and a span of releases.

The spans come from reading kernel trees (5.15.215, 6.0-rc1, 6.1.20, 6.4.6, 6.8.0, 6.18.24,
6.19.0); distributions may have carried a fix back without changing the number.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Release = tuple[int, int, int]
Quirk = Literal[
    "pairwise overlap",  # TCP compares addresses two by two, as UDP does
    "time-wait missed",  # a bind to one address does not see mini sockets
    "dual wildcard missed",  # a bind to one IPv4 address does not see a dual-stack ::
    "mapped missed",  # an AF_INET bind to one address does not see v4-mapped owners
    "v6only blocks mapped",  # a v4-mapped bind is blocked by a v6only ::
    "one wildcard list",  # only one of the lists of wildcard owners is looked at
    "reuseaddr memory",  # SO_REUSEADDR cleared after bind still counts as set
    "reuseport memory of any address",  # the remembered SO_REUSEPORT binder covers every address
    "bound unseen",  # sock_diag does not show bound sockets that do not listen
    "udp wildcard misses",  # a wildcard UDP bind among many sockets sees only other wildcards
]


class Span(NamedTuple):
    quirk: Quirk
    since: Release
    before: Release


SPANS: tuple[Span, ...] = (
    Span("pairwise overlap", (0, 0, 0), (6, 1, 0)),
    Span("time-wait missed", (6, 1, 0), (6, 1, 5)),
    Span("dual wildcard missed", (6, 1, 0), (6, 1, 21)),
    Span("dual wildcard missed", (6, 2, 0), (6, 3, 0)),
    Span("mapped missed", (6, 1, 0), (6, 1, 54)),
    Span("mapped missed", (6, 2, 0), (6, 5, 4)),
    Span("v6only blocks mapped", (6, 6, 0), (6, 9, 0)),
    Span("one wildcard list", (6, 6, 0), (6, 9, 0)),
    Span("reuseaddr memory", (0, 0, 0), (6, 8, 0)),
    Span("reuseport memory of any address", (0, 0, 0), (6, 8, 0)),
    Span("bound unseen", (0, 0, 0), (6, 8, 0)),
    Span("udp wildcard misses", (0, 0, 0), (6, 18, 24)),
    Span("udp wildcard misses", (6, 19, 0), (6, 20, 0)),
)


def parse_release(kernel: str) -> Release | None:
    """(6, 18, 44) of "6.18.44-generic"; None if it does not begin like a release."""
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", kernel)
    if match is None:
        return None
    major, minor, patch = match.groups(default="0")
    return int(major), int(minor), int(patch)


def quirks_of(kernel: str) -> frozenset[Quirk]:
    """The differences of a kernel release; none for one that cannot be read."""
    release = parse_release(kernel)
    if release is None:
        return frozenset()
    return frozenset(s.quirk for s in SPANS if s.since <= release < s.before)
