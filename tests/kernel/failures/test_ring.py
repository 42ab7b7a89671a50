"""Records out of shared memory: whole ones, unfinished ones, nonsense."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockwatch.kernel.failures.ring import records_between
from sockwatch.kernel.failures.rows import (
    COMMAND_BYTES,
    FAILURE_COLUMNS,
    FAILURE_STRUCT,
    SOCKADDR_BYTES,
    FailureRow,
    RecordError,
    decode,
)

SIZE = 256
BUSY, DISCARDED = 1 << 31, 1 << 30


def ring(*records: tuple[int, bytes], start: int = 0) -> tuple[memoryview, int]:
    """(the data twice, the end) of records as (flags, payload) from a position on."""
    data, end = bytearray(SIZE), start
    for flags, payload in records:
        raw = struct.pack("<I4x", len(payload) | flags) + payload
        raw += bytes(-len(raw) % 8)
        for offset, byte in enumerate(raw):
            data[(end + offset) % SIZE] = byte
        end += len(raw)
    return memoryview(bytes(data) * 2), end


def test_records_in_order() -> None:
    data, end = ring((0, b"one"), (0, b"number two"), (0, b""))
    assert records_between(data, 0, end, 99) == ([b"one", b"number two", b""], end)
    assert records_between(data, end, end, 99) == ([], end)


def test_at_most_so_many() -> None:
    data, end = ring((0, b"a"), (0, b"b"), (0, b"c"))
    taken, rest = records_between(data, 0, end, 2)
    assert taken == [b"a", b"b"]
    assert records_between(data, rest, end, 2) == ([b"c"], end)


def test_an_unfinished_record_is_left_and_a_discarded_one_passed() -> None:
    data, end = ring((0, b"a"), (DISCARDED, b"gone"), (0, b"b"), (BUSY, b"c"), (0, b"d"))
    taken, rest = records_between(data, 0, end, 99)
    assert (taken, rest) == ([b"a", b"b"], 48)


@pytest.mark.parametrize("start", [SIZE - 8, SIZE - 16, 5 * SIZE - 24])
def test_a_record_over_the_end(start: int) -> None:
    data, end = ring((0, bytes(range(100))), (0, b"next"), start=start)
    assert records_between(data, start, end, 99) == ([bytes(range(100)), b"next"], end)


@pytest.mark.parametrize(("start", "end"), [(8, 0), (0, SIZE + 8), (4, 16), (1 << 64, 0)])
def test_positions_that_make_no_sense(start: int, end: int) -> None:
    with pytest.raises(RecordError):
        records_between(memoryview(bytes(2 * SIZE)), start, end, 99)


def test_a_record_that_is_longer_than_what_was_written() -> None:
    data, end = ring((0, b"a"))
    with pytest.raises(RecordError, match="1 bytes"):
        records_between(data, 0, end - 8, 99)


@given(
    st.binary(min_size=SIZE, max_size=SIZE),
    st.integers(0, 1 << 40),
    st.integers(-SIZE, 2 * SIZE),
)
def test_any_bytes_are_records_or_our_error(data: bytes, start: int, length: int) -> None:
    try:
        records, rest = records_between(memoryview(data * 2), start, start + length, 99)
    except RecordError:
        return
    assert start <= rest <= start + length
    assert sum(map(len, records)) <= length


@given(st.binary(max_size=2 * FAILURE_STRUCT.size))
def test_any_record_is_a_failure_or_our_error(record: bytes) -> None:
    check(record)


@given(
    st.binary(min_size=FAILURE_STRUCT.size, max_size=FAILURE_STRUCT.size),
    st.sampled_from([0, 1, 2, 3]),
    st.sampled_from([0, 13, 98]),
)
def test_a_record_of_the_right_length(record: bytes, call: int, number: int) -> None:
    changed = bytearray(record)
    struct.pack_into("<HB", changed, FAILURE_COLUMNS["errno"].offset, number, call)
    # So that some of them have lengths that can be true.
    struct.pack_into("<I", changed, FAILURE_COLUMNS["sockaddr_bytes"].offset, record[0] % 120)
    struct.pack_into("<Q", changed, FAILURE_COLUMNS["command_bytes"].offset, record[1])
    check(bytes(changed))


def check(record: bytes) -> None:
    try:
        row = decode(record)
    except RecordError:
        return
    assert isinstance(row, FailureRow)
    assert row.call in (1, 2)
    assert row.sockaddr_bytes <= SOCKADDR_BYTES
    assert row.command_bytes <= COMMAND_BYTES
