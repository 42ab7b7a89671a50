"""Hundreds of failures a second: none is lost, or the loss is counted."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from sockwatch.bind.failure import ExplainedFailure
from sockwatch.kernel.failures.rows import FAILURE_STRUCT, WRITTEN_A_SECOND
from sockwatch.kernel.failures.tracepoint import FailureTracepoint
from sockwatch.watch import FailureWatch
from tests.support.failing import PATIENCE_S, collect, compiled, of_pid
from tests.support.privilege import needs_root

pytestmark = pytest.mark.whole_host
PER_SECOND = 500
SECONDS = 3
STORM = """
import socket, sys, time
ports, per_second, count = map(int, sys.argv[1:])
print("ready", flush=True)
sys.stdin.readline()
begun = time.monotonic()
for number in range(count):
    sock = socket.socket()
    try: sock.bind(("127.0.0.1", 8000 + number % ports))
    except OSError: pass
    else: raise SystemExit("it is bound")
    sock.close()
    left = begun + (number + 1) / per_second - time.monotonic()
    if left > 0:
        time.sleep(left)
"""


def test_500_a_second_on_100_ports(watch: FailureWatch) -> None:
    found = storm(watch, 100, PER_SECOND * SECONDS)
    assert [each.failure.port for each in found] == [
        8000 + n % 100 for n in range(PER_SECOND * SECONDS)
    ]


def test_500_a_second_on_one_port_are_counted(watch: FailureWatch) -> None:
    found = storm(watch, 1, PER_SECOND * SECONDS)
    assert {each.failure.port for each in found} == {8000}
    assert len(found) <= (WRITTEN_A_SECOND + 1) * (SECONDS + 2)


def storm(watch: FailureWatch, ports: int, count: int) -> list[ExplainedFailure]:
    """What is told of so many failures of one process, with the repeats all of them."""
    with ExitStack() as stack:
        for number in range(ports):
            stack.enter_context(socket.create_server(("127.0.0.1", 8000 + number)))
        arguments = (str(ports), str(PER_SECOND), str(count))
        process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", STORM, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        begun = time.time()
        process.stdin.write(b"\n")
        process.stdin.flush()
        found: list[ExplainedFailure] = []
        while sum(1 + each.failure.repeats for each in found) < count:
            found += collect(watch, of_pid(process.pid), 1)
        ended = time.time()
        assert process.wait(PATIENCE_S) == 0
    assert watch.lost == 0
    assert sum(1 + each.failure.repeats for each in found) == count
    assert all(each.explained for each in found)
    times = [each.failure.time for each in found]
    assert times == sorted(times)
    assert begun < times[0] < times[-1] < ended
    assert ended - times[-1] < 3  # it keeps up
    return found


@needs_root
def test_a_loop_hides_nobody(watch: FailureWatch) -> None:
    """One process fails as fast as it can; each failure of another one is told in full."""
    with socket.create_server(("127.0.0.1", 8000)), socket.create_server(("127.0.0.1", 8080)):
        loop = [sys.executable, "-c", STORM, "1", "1000000", "1000000"]
        with subprocess.Popen(loop, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            process.stdin.write(b"\n")
            process.stdin.flush()
            collect(watch, of_pid(process.pid), 1)
            for _ in range(5):
                with socket.socket() as sock, pytest.raises(OSError, match="in use"):
                    sock.bind(("127.0.0.1", 8080))
                (explained,) = collect(watch, of_pid(os.getpid()))
                assert (explained.failure.port, explained.failure.repeats) == (8080, 0)
                assert explained.explained
            process.kill()
    assert watch.lost == 0


@needs_root
def test_what_finds_the_ring_full_is_counted(netns: None) -> None:
    """Nobody reads while 100 fail, and the ring has room for a few."""
    with ExitStack() as stack:
        for number in range(100):
            stack.enter_context(socket.create_server(("127.0.0.1", 8000 + number)))
        tracepoint = stack.enter_context(FailureTracepoint(ring_bytes=4096))
        for number in range(100):
            with socket.socket() as sock, pytest.raises(OSError, match="in use"):
                sock.bind(("127.0.0.1", 8000 + number))
        kept = [row for row in tracepoint.take(1000) if row.pid == os.getpid()]
        assert len(kept) <= 4096 // FAILURE_STRUCT.size
        assert tracepoint.lost >= 100 - len(kept) > 0
        lost = tracepoint.lost
        # There is room again, through many turns of the ring.
        for number in range(100):
            with socket.socket() as sock, pytest.raises(OSError, match="in use"):
                sock.bind(("127.0.0.1", 8000 + number))
            (row,) = [row for row in tracepoint.take(1000) if row.pid == os.getpid()]
            assert row.time_ns > kept[-1].time_ns, number
        assert tracepoint.lost == lost
        assert tracepoint.odd_records == 0


COMPAT = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
static int by_int80(int number, long a, long b, long c) {
    int answer;
    __asm__ volatile("int $0x80" : "=a"(answer) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
    return answer;
}
int main(void) {
    struct sockaddr_in *name = mmap(0, 4096, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    name->sin_family = AF_INET;
    name->sin_port = htons(8080);
    name->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    printf("%d\n", by_int80(361, fd, (long)name, sizeof *name));
    return bind(fd, (struct sockaddr *)name, sizeof *name) ? 1 : 0;
}
"""


@needs_root
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the call gate of i386")
def test_calls_of_32_bit_programs_are_not_watched(netns: None, tmp_path: Path) -> None:
    program = compiled(COMPAT, tmp_path, "compat")
    with socket.create_server(("127.0.0.1", 8080)), FailureTracepoint() as tracepoint:
        done = subprocess.run([program], capture_output=True, text=True, check=False)
        if done.returncode != 1 or done.stdout != "-98\n":
            pytest.skip(f"this kernel runs no 32-bit calls: {done.returncode} {done.stdout!r}")
        found = [row for row in tracepoint.take(1000) if row.comm.startswith(b"compat")]
    assert len(found) == 1  # the second, by the 64-bit call
