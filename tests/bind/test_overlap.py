from __future__ import annotations

import pytest

from sockwatch.bind.kernels import Quirk, parse_release, quirks_of
from sockwatch.bind.overlap import TCP_CELLS, classify, overlaps

A4 = classify("ipv4", "127.0.0.1", v6only=False)
B4 = classify("ipv4", "127.0.0.2", v6only=False)
MAPPED = classify("ipv6", "::ffff:127.0.0.1", v6only=False)
ANY4 = classify("ipv4", "0.0.0.0", v6only=False)
ANY_MAPPED = classify("ipv6", "::ffff:0.0.0.0", v6only=False)
DUAL = classify("ipv6", "::", v6only=False)
ONLY6 = classify("ipv6", "::", v6only=True)
NATIVE = classify("ipv6", "::1", v6only=False, bound=True)
CONNECTED = classify("ipv6", "::1", v6only=False)


def test_every_class_is_recognised() -> None:
    addresses = (A4, MAPPED, ANY4, ANY_MAPPED, DUAL, ONLY6, NATIVE, CONNECTED)
    assert [a.kind for a in addresses] == ["4", "4m", "0", "0m", "::", "::only", "6", "6dual"]
    assert len(TCP_CELLS) == 7 * 8


@pytest.mark.parametrize(
    ("new", "owner", "expected"),
    [
        (A4, A4, True),
        (A4, B4, False),
        (A4, MAPPED, True),
        (MAPPED, B4, False),
        (A4, DUAL, True),
        (A4, ONLY6, False),
        (ANY4, ONLY6, False),
        (ANY4, NATIVE, False),
        (ANY4, CONNECTED, True),
        (ANY_MAPPED, CONNECTED, False),
        (DUAL, A4, True),
        (DUAL, ONLY6, True),
        (ONLY6, ANY4, False),
        (ONLY6, NATIVE, True),
        (NATIVE, DUAL, True),
        (NATIVE, ANY4, False),
        (NATIVE, CONNECTED, True),
    ],
)
def test_tcp_overlap(new: object, owner: object, expected: bool) -> None:
    assert overlaps(new, owner, "tcp") is expected  # type: ignore[arg-type]


def test_udp_has_a_stand_in_address_for_native_ipv6() -> None:
    stand_in = classify("ipv4", "127.0.0.6", v6only=False)
    assert overlaps(stand_in, CONNECTED, "udp")
    assert not overlaps(stand_in, CONNECTED, "tcp")
    assert not overlaps(stand_in, NATIVE, "udp")
    assert not overlaps(A4, CONNECTED, "udp")


@pytest.mark.parametrize(
    ("kernel", "new", "owner", "expected"),
    [
        ("6.1.20", A4, DUAL, False),
        ("6.1.21", A4, DUAL, True),
        ("6.2.7", A4, DUAL, False),
        ("6.3.0", A4, DUAL, True),
        ("6.4.6", A4, MAPPED, False),
        ("6.4.6", A4, ANY_MAPPED, False),
        ("6.6.0", A4, MAPPED, True),
        ("6.8.0", MAPPED, ONLY6, True),
        ("6.9.0", MAPPED, ONLY6, False),
        ("5.15.0", classify("ipv4", "127.0.0.6", v6only=False), CONNECTED, True),
    ],
)
def test_kernels_that_differ(kernel: str, new: object, owner: object, expected: bool) -> None:
    assert overlaps(new, owner, "tcp", quirks_of(parse_release(kernel))) is expected  # type: ignore[arg-type]


def test_release_is_read_from_what_distributions_write() -> None:
    assert parse_release("6.18.44-fc-v657") == (6, 18, 44)
    assert parse_release("6.12-rc3") == (6, 12, 0)
    assert parse_release("Darwin") is None
    assert quirks_of((6, 18, 44)) == frozenset()
    assert Quirk.REUSEADDR_MEMORY in quirks_of(parse_release("5.15.0-91-generic"))
