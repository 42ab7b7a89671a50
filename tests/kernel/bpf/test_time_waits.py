"""Counting TIME_WAITs in the kernel: the counts, the clock, a full map, and several readers."""

from __future__ import annotations

import errno
import shutil
import socket
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sockwatch.kernel.bpf import syscall
from sockwatch.kernel.bpf.clock import ticks_per_second
from sockwatch.kernel.bpf.groups import merge_counts
from sockwatch.kernel.bpf.iterators import SocketIterators
from sockwatch.kernel.bpf.rows import MINI, NO_CLOCK, SocketCount, SocketRow
from tests.kernel.bpf.sockets import (
    ALL_FLAGS,
    FIN_WAIT2,
    TIME_WAIT,
    address_of,
    flags_of,
    make_time_waits,
    mini_fin_wait2,
    time_wait,
)
from tests.support import sock_diag
from tests.support.child import in_netns
from tests.support.waiting import wait_until

PORTS = {9001: 700, 9002: 600, 9003: 400, 9004: 200, 9005: 99, 9006: 1}


def by_port(groups: list[SocketCount]) -> dict[int, int]:
    counter: Counter[int] = Counter()
    for group in groups:
        counter[group.port] += group.sockets
    return dict(counter)


def settled(iterators: SocketIterators, total: int) -> None:
    """The last client's FIN may still be under way."""
    wait_until(lambda: sum(by_port(iterators.tcp_summary().counts).values()) == total)


@in_netns
def test_rows_and_counts_of_one_port_come_in_one_pass() -> None:
    """More rows than the kernel's buffer takes at a time, so that it calls us for some again."""
    make_time_waits({9001: 2000, 9002: 5})
    with SocketIterators() as iterators:
        settled(iterators, 2005)
        sock_diag.dump()  # gives each a cookie
        summary = iterators.tcp_summary(9001)
        assert by_port(summary.counts) == {9001: 2000}
        assert len(summary.rows) == len({row.cookie for row in summary.rows}) == 2000
        assert summary.spilled == 0


@pytest.mark.skipif(shutil.which("ss") is None, reason="ss is not installed")
@in_netns
def test_counts_equal_those_of_ss() -> None:
    make_time_waits(PORTS)
    with SocketIterators() as iterators:
        settled(iterators, 2000)
        output = subprocess.run(
            ["ss", "-Htan", "state", "time-wait"], check=True, capture_output=True, text=True
        ).stdout
        by_ss = Counter(int(line.split()[2].rpartition(":")[2]) for line in output.splitlines())
        groups = iterators.tcp_summary().counts
        assert by_port(groups) == by_ss == PORTS
        assert {(g.family, g.state, address_of(g), g.device) for g in groups} == {
            (socket.AF_INET, TIME_WAIT, "127.0.0.1", 0)
        }
        assert all(flags_of(g) == (g.family, True, False, False) for g in groups)
        for port, count in PORTS.items():
            assert by_port(iterators.tcp_summary(port).counts) == {port: count}
            rows = iterators.tcp_summary(port).rows
            assert len(rows) == count
            assert all(row.is_mini and row.state == TIME_WAIT for row in rows)
        summary = iterators.tcp_summary()
        assert by_port(summary.counts) == PORTS
        assert (list(summary.rows), summary.spilled) == ([], 0)


@in_netns
def test_groups_keep_apart_what_the_bind_test_tells_apart() -> None:
    with SocketIterators() as iterators:
        expected = []
        for flags in ALL_FLAGS:
            for make, state in ((time_wait, TIME_WAIT), (mini_fin_wait2, FIN_WAIT2)):
                sockets = make(flags)
                expected.append((sockets[0].getsockname()[1], state, flags))
                sockets[0].close()
                # Its peer has to stay open, or FIN_WAIT2 would go on to TIME_WAIT.
                kept.extend(sockets[1:])
        ports = {port for port, *_ in expected}

        def groups() -> list[SocketCount]:
            return [group for group in iterators.tcp_summary().counts if group.port in ports]

        wait_until(lambda: sum(group.sockets for group in groups()) == len(expected))
        seen = [(g.port, g.state, flags_of(g)) for g in groups()]
        assert sorted(seen) == sorted(expected)
        assert all(g.sockets == 1 for g in iterators.tcp_summary().counts)


kept: list[socket.socket] = []


def expiries() -> dict[tuple[int, int], int]:
    """Milliseconds left, by port and cookie."""
    return {
        (row.port, int.from_bytes(row.cookie, sys.byteorder)): row.expires_ms
        for row in sock_diag.dump(states=0x60)
    }


@in_netns
def test_the_time_left_is_that_of_sock_diag() -> None:
    make_time_waits({9001: 50, 9002: 50})
    kept.extend(mini_fin_wait2(ALL_FLAGS[0]))
    tick_ms = 1000 / ticks_per_second()
    with SocketIterators() as iterators:
        settled(iterators, 101)
        before = expiries()
        groups = iterators.tcp_summary().counts
        ports = {group.port for group in groups}
        rows = {
            (row.port, row.cookie): row
            for port in ports
            for row in iterators.tcp_summary(port).rows
            if row.is_mini
        }
        after = expiries()
    assert before.keys() == rows.keys() == after.keys()
    for key, row in rows.items():
        left_ms = row.frees_in_jiffies * tick_ms
        assert after[key] - tick_ms <= left_ms <= before[key] + tick_ms
    assert len(groups) == 3
    for group in groups:
        assert group.first_frees_in_s is not None
        assert group.last_frees_in_s is not None
        for seconds, choose in ((group.first_frees_in_s, min), (group.last_frees_in_s, max)):
            low, high = (
                choose(ms for (port, _), ms in look.items() if port == group.port)
                for look in (after, before)
            )
            assert low - tick_ms <= seconds * 1000 <= high + tick_ms


@in_netns
def test_sock_diag_and_the_iterator_share_the_cookie() -> None:
    make_time_waits({9001: 20})
    with SocketIterators() as iterators:
        settled(iterators, 20)
        assert {row.cookie for row in iterators.tcp_summary(9001).rows} == {0}
        asked = {int.from_bytes(row.cookie, sys.byteorder) for row in sock_diag.dump()}
        assert {row.cookie for row in iterators.tcp_summary(9001).rows} == asked
        assert len(asked) == 20


@in_netns
def test_what_finds_the_map_full_is_counted_all_the_same() -> None:
    counts = {9000 + number: 5 for number in range(20)}
    make_time_waits(counts)
    with SocketIterators(entries=4) as iterators:
        wait_until(
            lambda: sum(by_port(iterators.tcp_summary().counts).values()) == sum(counts.values())
        )
        listener = socket.create_server(("127.0.0.1", 8000))
        for _ in range(3):  # the map is empty again after each
            summary = iterators.tcp_summary()
            assert by_port(summary.counts) == counts
            assert summary.spilled == (20 - 4) * 5
            assert [row.port for row in summary.rows if not row.is_mini] == [8000]
        for group in summary.counts:
            assert group.last_frees_in_s is not None
            assert 0 < group.last_frees_in_s <= 60
        listener.close()


@in_netns
def test_without_batches_the_map_is_read_key_by_key() -> None:
    make_time_waits({9001: 3, 9002: 4})
    whole = syscall.bpf

    def no_batches(command: int, attr: bytearray) -> int:
        if command == 25:
            raise OSError(errno.EINVAL, "no such command")
        return whole(command, attr)

    with SocketIterators() as iterators:
        settled(iterators, 7)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(syscall, "bpf", no_batches)
            for _ in range(2):
                assert by_port(iterators.tcp_summary().counts) == {9001: 3, 9002: 4}


@in_netns
def test_many_groups_come_in_many_batches() -> None:
    """Each client's TIME_WAIT has a port of its own."""
    count = 5000
    # On the loopback, connect() takes over TIME_WAITs older than a second.
    Path("/proc/sys/net/ipv4/tcp_tw_reuse").write_text("0")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 9001))
        listener.listen(16)
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", 9001))
            server, _ = listener.accept()
            client.shutdown(socket.SHUT_WR)
            server.recv(1)  # else both ends could close at once, and each leave a TIME_WAIT
            server.close()
            client.close()
    with SocketIterators() as iterators:
        settled(iterators, count)
        groups = iterators.tcp_summary().counts
        assert len(groups) == len(by_port(groups)) == count


@in_netns
def test_readers_in_several_threads_do_not_mix_their_counts() -> None:
    counts = {9000 + number: 10 + number for number in range(6)}
    make_time_waits(counts)
    wrong: list[object] = []
    with SocketIterators() as iterators:
        settled(iterators, sum(counts.values()))

        def read(port: int | None) -> None:
            try:
                expected = counts if port is None else {port: counts[port]}
                for _ in range(10):
                    seen = by_port(iterators.tcp_summary(port).counts)
                    rows = iterators.tcp_summary(port).rows
                    written = 0 if port is None else counts[port]
                    if seen != expected or len(rows) != written:
                        wrong.append((port, seen))
            except Exception as error:  # noqa: BLE001
                wrong.append(error)

        threads = [threading.Thread(target=read, args=(port,)) for port in (None, *counts)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


@in_netns
def test_a_broken_run_leaves_nothing_behind() -> None:
    make_time_waits({9001: 30})
    from sockwatch.kernel.bpf import iterator as module

    with SocketIterators() as iterators:
        settled(iterators, 30)
        read_all = module._read_all

        def interrupted(*how: Any) -> bytes:
            read_all(*how)
            raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "_read_all", interrupted)
            with pytest.raises(KeyboardInterrupt):
                iterators.tcp_summary()
        assert by_port(iterators.tcp_summary().counts) == {9001: 30}


LOCALHOST = b"\x7f\0\0\1" + bytes(12)
KEY = (LOCALHOST, bytes(16), 0, 0, 80, 0, socket.AF_INET, 1, TIME_WAIT, MINI, 0)


def row(left: int) -> SocketRow:
    return SocketRow._make((*KEY, 1, 0, 0, 0, 0, 0, 0, left))


def test_merging_rows_into_counts() -> None:
    counts = merge_counts(
        [((*KEY, 0, 0), (3, 10_100, 10_900, 80, 80, 0))],
        [row(50), row(950), row(NO_CLOCK)],
        10_000,
        100,
    )
    assert counts == [SocketCount._make((*KEY, 6, 80, 80, 0.5, 9.5))]
    assert merge_counts([], [row(NO_CLOCK)], 0, 100) == [
        SocketCount._make((*KEY, 1, 80, 80, None, None))
    ]
    # Overdue is due: a timer may fire late.
    assert merge_counts([], [row(-5)], 0, 100)[0].first_frees_in_s == 0


def test_the_tick_is_one_that_linux_knows() -> None:
    assert ticks_per_second() in {24, 32, 48, 64, 100, 128, 200, 250, 256, 300, 512, 1000, 1024}
