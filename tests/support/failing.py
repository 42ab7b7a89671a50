"""Servers that fail to bind, and waiting for what was seen of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from sockwatch.bind.failure import ExplainedFailure
from sockwatch.watch import FailureWatch

PATIENCE_S = 20.0
T = TypeVar("T")

PYTHON_SERVER = """
import socket, sys
sock = socket.socket()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.bind(("127.0.0.1", int(sys.argv[1])))
"""
C_SERVER = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    inet_pton(AF_INET, "127.0.0.1", &name.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    _exit(bind(fd, (struct sockaddr *)&name, sizeof name) ? 1 : 0);
}
"""


def compiled(source: str, directory: Path, name: str = "cserver") -> str:
    """The program's path; the test is skipped where there is no C compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler is installed")
    (directory / f"{name}.c").write_text(source)
    program = str(directory / name)
    subprocess.run([compiler, "-w", "-pthread", "-o", program, f"{program}.c"], check=True)
    return program


def run_and_reap(*command: str) -> int:
    """The pid of a program that has failed, ended, and been waited for."""
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        assert process.wait(PATIENCE_S) == 1
    return process.pid


def forked(fail: Callable[[], object]) -> int:
    """The pid of a child that has run it and ended in spite of an OSError."""
    pid = os.fork()
    if pid == 0:
        try:
            with contextlib.suppress(OSError):
                fail()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    return pid


def collect(
    watch: FailureWatch, wanted: Callable[[ExplainedFailure], bool], count: int = 1
) -> list[ExplainedFailure]:
    """The first failures that are wanted; others of the host may come in between."""
    found: list[ExplainedFailure] = []
    end = time.monotonic() + PATIENCE_S
    while len(found) < count:
        assert time.monotonic() < end, f"{len(found)} of {count} failures came"
        found += [each for each in watch.wait(0.5) if wanted(each)]
    return found


def of_pid(*pids: int) -> Callable[[ExplainedFailure], bool]:
    """Whether a failure is of one of these processes."""
    return lambda explained: explained.failure.pid in pids


def bind(
    family: int,
    address: tuple[str, int] | str | bytes,
    options: Sequence[tuple[int, int]] = (),
    kind: int = socket.SOCK_STREAM,
) -> None:
    """Fails or not; the socket is closed."""
    with socket.socket(family, kind) as sock:
        for level, option in options:
            sock.setsockopt(level, option, 1)
        sock.bind(address)
