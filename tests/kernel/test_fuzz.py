"""Whatever bytes come: our error or less to see; no other exception, no hang.

The BTF reader has its own in bpf/test_btf.py.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sockwatch.kernel import facts, routes
from sockwatch.kernel.bpf import reader
from sockwatch.kernel.bpf.btf_cache import _own_folder, _read_cache, kernel_build_id
from sockwatch.kernel.bpf.groups import merge_groups
from sockwatch.kernel.bpf.layout import FIELDS, FUNCTIONS
from sockwatch.kernel.bpf.rows import KEY_STRUCT, ROW_STRUCT, TALLY_STRUCT, Records
from sockwatch.kernel.proc.proc_stat import parse_stat
from sockwatch.kernel.proc.processes import unit_of_cgroup
from sockwatch.kernel.sock_diag import netlink
from sockwatch.kernel.sock_diag.inet_diag import ROW, ROW_SIZE
from sockwatch.kernel.sock_diag.netlink import REQUEST_HEADER
from sockwatch.kernel.sock_diag.owners import owner_table
from sockwatch.kernel.sock_diag.row_decoder import RowDecoder
from sockwatch.kernel.sock_diag.time_waits import MiniSocketTally
from sockwatch.model import UNKNOWN_FLAGS, KernelError, SocketOptions

pytestmark = pytest.mark.timeout(120)
MINI = 3
unhurried = settings(
    deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
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
    table = owner_table(decoder, known)
    assert sum(map(len, table.sockets.values())) <= sum(map(len, buffers)) // ROW_SIZE
    for kept in decoder.rows or ():
        assert isinstance(kept.address, str)
    assert all(group.count > 0 for groups in table.groups.values() for group in groups)


@unhurried
@given(
    st.lists(st.lists(rows(timer=MINI).map(lambda row: row[:96].ljust(96, b"\0")), min_size=1)),
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
    assert sum(map(len, reader._holders(records).values())) <= len(records)
    records.spilled()
    _groups_of([], [row for row in records if row.is_mini])


def _groups_of(tallies: Sequence[tuple[bytes, bytes]], spilled: Sequence[object]) -> int:
    pairs = [(KEY_STRUCT.unpack(key), TALLY_STRUCT.unpack(tally)) for key, tally in tallies]
    groups = merge_groups(pairs, spilled, 1_000, 250)  # type: ignore[arg-type]
    found = reader._groups(groups, str)
    return sum(group.count for each in found.values() for group in each)


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


@unhurried
@given(st.lists(st.binary(max_size=120), max_size=3), st.booleans())
def test_answers_of_rtnetlink(buffers: list[bytes], addresses: bool) -> None:
    """Through a real socket, whose other end hangs up."""
    _read_routes(buffers, addresses=addresses)


@unhurried
@given(st.binary(max_size=60), st.integers(20, 27), st.integers(0, 255), st.booleans())
def test_damaged_routes(tail: bytes, kind: int, family: int, addresses: bool) -> None:
    body = bytes((family, 8, 0, 0, 255, 2, 254, 2)) + bytes(4) + tail
    data = REQUEST_HEADER.pack(16 + len(body), kind, 2, 1, 1) + body
    _read_routes([data], addresses=addresses)


def _read_routes(buffers: list[bytes], *, addresses: bool) -> None:
    ours, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, kernel, patch.object(netlink, "receive", lambda sock: sock.recv(1 << 16)):
        for data in buffers:
            kernel.send(data)
        kernel.shutdown(socket.SHUT_WR)
        size = routes.ADDRESS.size if addresses else routes.ROUTE.size
        read = routes._tentative if addresses else routes._route
        try:
            for message in routes._messages(ours, 1, b"", size):
                list(read(message))
        except (OSError, KernelError):
            pass


@unhurried
@given(st.binary(max_size=200))
@example(b"1 (a) b) S 1 " + b"0 " * 40)
@example(b") (")
def test_proc_pid_stat(text: bytes) -> None:
    found = parse_stat(text)
    assert found is None or isinstance(found.start_ticks, int)


@unhurried
@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(st.binary(max_size=20), max_size=8).map(
            lambda parts: b"0::/" + b"/".join(parts) + b".service\n"
        ),
    )
)
def test_proc_pid_cgroup(text: bytes) -> None:
    unit = unit_of_cgroup(text)
    assert unit is None or unit.isprintable()


@unhurried
@given(st.text(max_size=60))
@example("8080,9000-")
def test_sysctls(text: str) -> None:
    for pair in facts._reserved(text):
        assert len(pair) == 2
    assert len(facts._pair(text) or (0, 0)) == 2


@unhurried
@given(st.binary(max_size=200))
@example(struct.pack("=III", 4, 0xFFFFFFFF, 3) + b"GNU\0")
@example(struct.pack("=III", 4, 0, 3) + b"GNU\0")
def test_elf_notes(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "notes"
    path.write_bytes(data)
    found = kernel_build_id(path)
    assert found is None or bytes.fromhex(found) in data


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@unhurried
@given(
    st.one_of(
        st.binary(max_size=200),
        JSON.map(lambda value: json.dumps(value).encode()),
        st.fixed_dictionaries(
            {"functions": JSON, "fields": JSON},
        ).map(lambda v: json.dumps(v | {"version": 1, "asked": [*FUNCTIONS, *FIELDS]}).encode()),
    )
)
@example(b"[" * 100_000)
def test_the_cached_layout(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "cache.json"
    path.write_bytes(data)
    path.chmod(0o600)
    with _own_folder(tmp_path) as folder:
        layout = _read_cache(folder, path.name)
    if layout is not None:
        assert all(isinstance(number, int) for number in layout.functions.values())
