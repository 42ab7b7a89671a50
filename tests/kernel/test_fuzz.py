"""Whatever bytes come: our error or less to see; no other exception, no hang.

What reads BTF, the failures and /proc has its own, in the folders beside this file.
"""

from __future__ import annotations

import json
import math
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sockwatch.kernel import rtnetlink
from sockwatch.kernel.bpf import reader
from sockwatch.kernel.bpf.btf_cache import _own_folder, _read_cache, kernel_build_id
from sockwatch.kernel.bpf.groups import merge_counts
from sockwatch.kernel.bpf.layout import ASKED
from sockwatch.kernel.bpf.owners import counted_owners
from sockwatch.kernel.bpf.rows import KEY_STRUCT, ROW_STRUCT, TALLY_STRUCT, Records
from sockwatch.kernel.failures import unix_sockets
from sockwatch.kernel.sock_diag import netlink
from sockwatch.kernel.sock_diag.inet_diag import ROW, ROW_SIZE
from sockwatch.kernel.sock_diag.netlink import REQUEST_HEADER
from sockwatch.kernel.sock_diag.owners import Known, owner_table
from sockwatch.kernel.sock_diag.row_decoder import RowDecoder
from sockwatch.kernel.sock_diag.time_waits import MiniSocketTally
from sockwatch.model import UNKNOWN_FLAGS, KernelError, SocketOptions
from tests.support.json_values import JSON

pytestmark = pytest.mark.timeout(120)
MINI = 3
unhurried = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
numbers_16 = st.integers(0, 0xFFFF)
numbers_32 = st.integers(0, 0xFFFFFFFF)
cookies = st.one_of(st.integers(0, 20), st.integers(0, (1 << 64) - 1))
addresses = st.one_of(st.just(bytes(16)), st.binary(min_size=16, max_size=16))
states = st.one_of(st.sampled_from([1, 3, 6, 7, 10]), st.integers(0, 255))


@st.composite
def attributes(draw: st.DrawFn) -> bytes:
    """Attributes of any type; their length may lie."""
    parts = []
    for kind in draw(st.lists(st.one_of(st.sampled_from([8, 11]), numbers_16), max_size=3)):
        value = draw(st.binary(max_size=9))
        length = draw(st.one_of(st.just(4 + len(value)), numbers_16))
        parts.append(struct.pack("<HH", length, kind) + value + bytes(-len(value) % 4))
    return b"".join(parts)


@st.composite
def rows(draw: st.DrawFn, timer: int | None = None) -> bytes:
    """A netlink row that says of itself what it likes."""
    body = ROW.pack(
        draw(st.one_of(st.sampled_from([2, 10]), st.integers(0, 255))),
        draw(states),
        draw(st.sampled_from([0, MINI])) if timer is None else timer,
        draw(st.integers(0, 255)),
        draw(numbers_16),
        draw(numbers_16),
        draw(addresses),
        draw(addresses),
        *(draw(numbers_32), draw(cookies), *(draw(numbers_32) for _ in range(5))),
    )
    tail = draw(attributes())
    length = draw(st.one_of(st.just(16 + len(body) + len(tail)), st.integers(0, 400)))
    kind = draw(st.one_of(st.just(20), numbers_16))
    return REQUEST_HEADER.pack(length, kind, 2, 1, 1) + body + tail


@unhurried
@given(
    st.lists(st.lists(rows(), max_size=6).map(b"".join), max_size=4),
    st.binary(max_size=12),
    st.booleans(),
    st.booleans(),
)
def test_netlink_rows(buffers: list[bytes], end: bytes, keep: bool, count: bool) -> None:
    known = {cookie: SocketOptions(UNKNOWN_FLAGS, None) for cookie in range(0, 20, 3)}
    decoder = RowDecoder("tcp", str, keep_rows=keep, count_minis=count, known=known)
    try:
        for data in (*buffers, end):
            if decoder.feed(data) is not None:
                break
    except KernelError:
        pass
    table = owner_table(decoder, Known(known))
    assert sum(map(len, table.sockets.values())) <= sum(map(len, buffers)) // ROW_SIZE
    for kept in decoder.rows or ():
        assert isinstance(kept.address, str)
    assert all(group.count > 0 for groups in table.groups.values() for group in groups)


@unhurried
@given(
    st.lists(
        st.lists(
            rows(timer=MINI).map(lambda row: row[:96].ljust(96, b"\0")), min_size=1, max_size=8
        ),
        max_size=4,
    ),
    st.sampled_from([88, 92, 96, 104]),
)
def test_runs_of_mini_sockets(runs: list[list[bytes]], stride: int) -> None:
    """A run is taken whole or not at all, and then each of its rows can be taken alone."""
    tally = MiniSocketTally({})
    for run in runs:
        data = memoryview(b"".join(row[:stride].ljust(stride, b"\0") for row in run))
        before = _counted(tally)
        if not tally.add_run(data, stride):
            assert _counted(tally) == before
            for start in range(0, len(data), stride):
                tally.add_row(data, start)
        assert before <= _counted(tally) <= before + len(run)


def _counted(tally: MiniSocketTally) -> int:
    return sum(count for _, _, count, _, _ in tally.groups())


@unhurried
@given(st.binary(max_size=5 * ROW_STRUCT.size))
@example(bytes(ROW_STRUCT.size))
def test_rows_of_the_iterators(data: bytes) -> None:
    try:
        records = Records(data)
    except struct.error:
        assert len(data) % ROW_STRUCT.size
        return
    assert len(records.flags_by_cookie()) <= len(records)
    assert sum(map(len, reader._files(records).holders.values())) <= len(records)
    records.spilled()
    _groups_of([], [row for row in records if row.is_mini])


def _groups_of(tallies: Sequence[tuple[bytes, bytes]], spilled: Sequence[object]) -> int:
    pairs = [(KEY_STRUCT.unpack(key), TALLY_STRUCT.unpack(tally)) for key, tally in tallies]
    counts = merge_counts(pairs, spilled, 1_000, 250)  # type: ignore[arg-type]
    owners = counted_owners(counts, {}, str)
    groups = sum(group.count for group in chain.from_iterable(owners.groups.values()))
    return groups + sum(group.count for group in owners.clients) + owners.half_open.total()


@unhurried
@given(
    st.lists(
        st.tuples(
            st.binary(min_size=KEY_STRUCT.size, max_size=KEY_STRUCT.size),
            st.binary(min_size=TALLY_STRUCT.size, max_size=TALLY_STRUCT.size),
        ),
        max_size=4,
        unique_by=lambda pair: pair[0],
    )
)
def test_groups_of_the_iterators(tallies: list[tuple[bytes, bytes]]) -> None:
    assert _groups_of(tallies, []) == sum(TALLY_STRUCT.unpack(tally)[0] for _, tally in tallies)


AnswerReader = Callable[[socket.socket], Iterator[object]]
READERS: list[AnswerReader] = [
    rtnetlink.dump_addresses,
    rtnetlink.dump_links,
    lambda sock: rtnetlink.dump_routes(sock, socket.AF_INET, 255),
]


@unhurried
@given(st.lists(st.binary(max_size=120), max_size=3), st.sampled_from(READERS))
def test_answers_of_rtnetlink(buffers: list[bytes], read: AnswerReader) -> None:
    """Through a real socket, whose other end hangs up."""
    _read_answers(buffers, read)


@unhurried
@given(st.binary(max_size=60), st.integers(16, 27), st.integers(0, 255), st.sampled_from(READERS))
def test_damaged_routes(tail: bytes, kind: int, family: int, read: AnswerReader) -> None:
    body = bytes((family, 8, 0, 0, 255, 2, 254, 2)) + bytes(4) + tail
    data = REQUEST_HEADER.pack(16 + len(body), kind, 2, 1, 1) + body
    _read_answers([data], read)


@unhurried
@given(st.one_of(st.binary(max_size=60), attributes().map(lambda tail: bytes(16) + tail)))
def test_unix_sockets(body: bytes) -> None:
    def read(sock: socket.socket) -> Iterator[object]:
        return map(unix_sockets._row, netlink.dump(sock, 20, b"", unix_sockets._MESSAGE.size))

    _read_answers([REQUEST_HEADER.pack(16 + len(body), 20, 2, 1, 1) + body], read)


def _read_answers(buffers: list[bytes], read: AnswerReader) -> None:
    ours, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, kernel, patch.object(netlink, "receive", lambda sock: sock.recv(1 << 16)):
        for data in buffers:
            kernel.send(data)
        kernel.shutdown(socket.SHUT_WR)
        with suppress(OSError, KernelError):
            list(read(ours))


@unhurried
@given(st.binary(max_size=200))
@example(struct.pack("=III", 4, 0xFFFFFFFF, 3) + b"GNU\0")
@example(struct.pack("=III", 4, 0, 3) + b"GNU\0")
def test_elf_notes(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "notes"
    path.write_bytes(data)
    found = kernel_build_id(path)
    assert found is None or bytes.fromhex(found) in data


@unhurried
@given(
    st.one_of(
        st.binary(max_size=200),
        JSON.map(lambda value: json.dumps(value).encode()),
        st.fixed_dictionaries(
            {"functions": JSON, "fields": JSON},
        ).map(lambda v: json.dumps(v | {"version": 1, "asked": [*ASKED]}).encode()),
    )
)
@example(b"[" * 100_000)
@example(
    json.dumps(
        {"functions": {"": math.inf}, "fields": {}, "version": 1, "asked": [*ASKED]}
    ).encode()
)
def test_the_cached_layout(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "cache.json"
    path.write_bytes(data)
    path.chmod(0o600)
    with _own_folder(tmp_path) as folder:
        layout = _read_cache(folder, path.name)
    if layout is not None:
        assert all(isinstance(number, int) for number in layout.functions.values())
