"""The decoder on bytes made by hand: errors, repeats, mixed and damaged buffers."""

from __future__ import annotations

import errno
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockwatch.kernel.sock_diag.owners import Known, OwnerTable, owner_table
from sockwatch.kernel.sock_diag.row_decoder import RowDecoder
from sockwatch.model import KernelError

TIME_WAIT, ESTABLISHED, LISTEN = 6, 1, 10


def row(
    port: int,
    *,
    cookie: int,
    state: int = TIME_WAIT,
    expires: int = 0,
    source: str = "127.0.0.1",
    inode: int = 0,
    padding: bytes = b"",
) -> bytes:
    timer = 3 if state == TIME_WAIT else 0
    body = struct.pack(
        "<4B2H16s16sIQ5I",
        socket.AF_INET, state, timer, 0, socket.htons(port), socket.htons(1),
        socket.inet_aton(source), socket.inet_aton("127.0.0.9"),
        0, cookie, expires, 0, 0, 0, inode,
    )  # fmt: skip
    return struct.pack("<IHHII", 16 + len(body) + len(padding), 20, 2, 1, 1) + body + padding


def done(number: int = 0, kind: int = 3) -> bytes:
    return struct.pack("<IHHIIi", 20, kind, 2, 1, 1, -number)


def decoder(*, keep_rows: bool = False) -> RowDecoder:
    return RowDecoder("tcp", lambda index: str(index) if index else None, keep_rows=keep_rows)


def table(fed: RowDecoder) -> OwnerTable:
    return owner_table(fed, Known())


def test_the_end_of_a_dump() -> None:
    assert decoder().feed(done()) == 0
    assert decoder().feed(row(80, cookie=1)) is None
    assert decoder().feed(row(80, cookie=1) + done()) == 0


@pytest.mark.parametrize("kind", [2, 3])
def test_an_errno_in_error_and_done(kind: int) -> None:
    assert decoder().feed(row(80, cookie=1) + done(errno.ENOENT, kind)) == errno.ENOENT


@pytest.mark.parametrize("keep_rows", [False, True])
def test_a_run_and_a_mixed_buffer_count_alike(keep_rows: bool) -> None:
    rows = [row(80 + n % 3, cookie=n + 1, expires=1000 + n) for n in range(30)]
    run = decoder(keep_rows=keep_rows)
    run.feed(b"".join(rows))
    mixed = decoder(keep_rows=keep_rows)
    mixed.feed(b"".join([*rows[:7], row(22, cookie=99, state=ESTABLISHED, inode=5), *rows[7:]]))
    expected = {80: (10, 1.0, 1.027), 81: (10, 1.001, 1.028), 82: (10, 1.002, 1.029)}
    for found in (table(run), table(mixed)):
        for port, clock in expected.items():
            (group,) = found.groups[port]
            assert (group.count, group.first_frees_in_s, group.last_frees_in_s) == clock
    assert [g.with_fd for g in table(mixed).groups[22]] == [1]
    kept = table(mixed).connections
    assert (kept is None) == (not keep_rows)
    if kept is not None:
        assert len(kept) == 31
        assert kept[0].state == "ESTABLISHED"
        assert kept[-1].frees_in_s == 1.029
        assert [s.port for s in kept[1:4]] == [80, 81, 82]
        with pytest.raises(IndexError):
            kept[31]


def test_rows_of_several_addresses_are_several_groups() -> None:
    found = decoder()
    found.feed(b"".join(row(80, cookie=n + 1, source=f"127.0.0.{n % 2 + 1}") for n in range(10)))
    groups = table(found).groups[80]
    assert sorted((g.address, g.count) for g in groups) == [("127.0.0.1", 5), ("127.0.0.2", 5)]


@pytest.mark.parametrize("state", [TIME_WAIT, ESTABLISHED, LISTEN])
def test_a_row_that_a_resumed_dump_repeats_counts_once(state: int) -> None:
    found = decoder()
    found.feed(b"".join(row(80, cookie=n, state=state) for n in range(1, 6)))
    found.feed(b"".join(row(80, cookie=n, state=state) for n in range(4, 9)))
    owners = table(found)
    assert sum(g.count for g in owners.groups[80]) + len(owners.sockets.get(80, ())) == 8


@pytest.mark.parametrize("cut", range(1, 88, 7))
def test_a_cut_message_is_an_error(cut: int) -> None:
    with pytest.raises(KernelError, match="cut short"):
        decoder().feed(row(80, cookie=1)[:-cut])


@given(st.binary(max_size=400))
def test_any_bytes_end_or_raise(data: bytes) -> None:
    found = decoder(keep_rows=True)
    try:
        found.feed(data)
    except KernelError:
        return
    owners = table(found)
    assert sum(len(v) for v in owners.sockets.values()) <= len(data) // 88


@given(st.lists(st.integers(0, 255), max_size=8), st.integers(0, 400), st.binary(max_size=3))
def test_damaged_rows_end_or_raise(noise: list[int], place: int, attribute: bytes) -> None:
    data = bytearray(
        b"".join(
            row(80, cookie=n, state=(6, 1, 10, 3)[n % 4], padding=b"\x08\0\x0b\0\1\0\0\0")
            for n in range(5)
        )
    )
    data[place : place + len(noise)] = bytes(noise)
    try:
        decoder(keep_rows=True).feed(bytes(data) + attribute)
    except KernelError:
        return
