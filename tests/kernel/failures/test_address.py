"""Addresses out of the bytes of a record."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockwatch.failure import UnixName
from sockwatch.kernel.failures.address import (
    FailedAddress,
    failed_address,
    family_name,
    protocol_name,
)
from sockwatch.kernel.failures.rows import (
    FAILURE_STRUCT,
    SEEN_ADDRESS,
    SEEN_SOCKET,
    FailureRow,
)

BIND, LISTEN = 1, 2
EMPTY = FailureRow._make(FAILURE_STRUCT.unpack(bytes(FAILURE_STRUCT.size)))


def row(sockaddr: bytes, family: int | None = None, type: int = 0) -> FailureRow:  # noqa: A002
    seen = SEEN_ADDRESS | (0 if family is None else SEEN_SOCKET)
    return EMPTY._replace(
        call=BIND,
        errno=98,
        seen=seen,
        family=family or 0,
        sockaddr=sockaddr.ljust(112, b"\0"),
        sockaddr_bytes=len(sockaddr),
        type=type,
    )


def in4(family: int = socket.AF_INET) -> bytes:
    return struct.pack("=H", family) + struct.pack("!H4s8x", 80, bytes([127, 0, 0, 1]))


def in6(scope: int = 0, address: str = "fe80::1") -> bytes:
    packed = socket.inet_pton(socket.AF_INET6, address)
    head = struct.pack("=H", socket.AF_INET6) + struct.pack("!HI16s", 443, 7, packed)
    return head + struct.pack("=I", scope)


UNIX = struct.pack("=H", socket.AF_UNIX)


@pytest.mark.parametrize(
    ("given_row", "expected"),
    [
        (row(in4()), FailedAddress("ipv4", "127.0.0.1", 80)),
        (row(in4()[:8]), FailedAddress("ipv4", "127.0.0.1", 80)),
        (row(in4(0), socket.AF_INET), FailedAddress("ipv4", "127.0.0.1", 80)),
        (row(in4(0)), FailedAddress("unspec")),
        (row(in6(3, "2001:db8::1")), FailedAddress("ipv6", "2001:db8::1", 443)),
        (row(in6(3, "ff02::1")), FailedAddress("ipv6", "ff02::1", 443, 3)),
        (row(in6(3)), FailedAddress("ipv6", "fe80::1", 443, 3)),
        (row(in6(3)[:24]), FailedAddress("ipv6", "fe80::1", 443, 0)),
        (
            row(UNIX + b"/run/x\0rest", socket.AF_UNIX, type=1),
            FailedAddress("unix", "/run/x", unix=UnixName(b"/run/x", 1)),
        ),
        (
            row(UNIX + b"x" * 108),
            FailedAddress("unix", "x" * 108, unix=UnixName(b"x" * 108, None)),
        ),
        (
            row(UNIX + b"\0a\0b"),
            FailedAddress("unix", "@a@b", unix=UnixName(b"\0a\0b", None)),
        ),
        (
            row(UNIX + b"\x1b[31m\n"),
            FailedAddress("unix", "?[31m ", unix=UnixName(b"\x1b[31m\n", None)),
        ),
        (row(UNIX), FailedAddress("unix")),
        (row(struct.pack("=H2xI4x", socket.AF_NETLINK, 42)), FailedAddress("netlink", "42")),
        (row(struct.pack("=H2x", socket.AF_NETLINK)), FailedAddress("netlink")),
        (row(struct.pack("=HHII", socket.AF_VSOCK, 0, 1024, 2)), FailedAddress("vsock", "2:1024")),
        (
            row(struct.pack("=HHII", socket.AF_VSOCK, 0, 1024, 0xFFFFFFFF)),
            FailedAddress("vsock", "*:1024"),
        ),
        (row(struct.pack("=HHi12x", 17, 0, 3)), FailedAddress("packet", device_index=3)),
        (row(struct.pack("=H", 77)), FailedAddress("77")),
        (row(b"\1"), FailedAddress()),
        (row(in4(), socket.AF_INET)._replace(seen=SEEN_SOCKET), FailedAddress("ipv4")),
        (EMPTY._replace(call=LISTEN), FailedAddress()),
        (
            EMPTY._replace(
                call=LISTEN, seen=SEEN_SOCKET, family=2, port=80,
                packed_address=bytes([10, 0, 0, 1]).ljust(16, b"\0"),
            ),
            FailedAddress("ipv4", "10.0.0.1", 80),
        ),
        (
            EMPTY._replace(
                call=LISTEN, seen=SEEN_SOCKET, family=10, port=80, packed_address=bytes(16)
            ),
            FailedAddress("ipv6", "::", 80),
        ),
    ],
)  # fmt: skip
def test_addresses(given_row: FailureRow, expected: FailedAddress) -> None:
    assert failed_address(given_row) == expected


@given(
    st.binary(max_size=112),
    st.sampled_from([None, 0, 1, 2, 10, 16, 40, 77, 65535]),
    st.sampled_from([0, 1, 2, 10, 16, 999]),
)
def test_any_bytes_have_an_address_or_none(
    sockaddr: bytes, family: int | None, written: int
) -> None:
    found = failed_address(row(struct.pack("=H", written) + sockaddr[:110], family))
    assert found.address is None or found.address.isprintable()
    assert found.port is None or 0 <= found.port <= 65535


@pytest.mark.parametrize(
    ("family", "kind", "protocol", "name"),
    [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "tcp"),
        (socket.AF_INET6, socket.SOCK_STREAM, 262, "tcp"),
        (socket.AF_INET, socket.SOCK_STREAM, 132, "other"),  # SCTP
        (socket.AF_INET, socket.SOCK_DGRAM, 17, "udp"),
        (socket.AF_INET, socket.SOCK_DGRAM, 1, "other"),  # ping
        (socket.AF_INET, socket.SOCK_RAW, 17, "other"),
        (socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, "unix"),
        (socket.AF_NETLINK, socket.SOCK_RAW, 6, "other"),
    ],
)
def test_protocols(family: int, kind: int, protocol: int, name: str) -> None:
    assert protocol_name(family, kind, protocol) == name


def test_families() -> None:
    assert [family_name(n) for n in (None, 1, 2, 10, 40)] == [None, "unix", "ipv4", "ipv6", "vsock"]
