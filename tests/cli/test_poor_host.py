"""A host that is falling over: an answer, a gap or one sentence, and never "this is a bug"."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sockwatch.cli.exit_codes import ExitCode
from tests.cli.test_failures import fail, line_with, watching
from tests.support.failing import bind, forked
from tests.support.netns import set_ipv4_sysctl
from tests.support.privilege import needs_root
from tests.support.schemas import read_document
from tests.support.user import run_as_user

COMMAND = [sys.executable, "-m", "sockwatch"]
PORT = 8080
NO_PROC = "mount -t tmpfs none /proc"
LESS_PROC = [f"mount -t proc -o {options} none /proc" for options in ("hidepid=2", "subset=pid")]
FD_LIMITS = (5, 8, 11, 14, 17, 20, 26, 30, 40)  # with fewer not even the interpreter starts


@pytest.fixture(autouse=True)
def listener(netns: None) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", PORT)) as sock:
        yield sock


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=60,
        env=os.environ | environment,
    )


def after(line: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, once the shell has run the line in a mount namespace of its own."""
    return run("unshare", "-m", "bash", "-c", f'{line} && exec "$@"', "-", *COMMAND, *arguments)


def check(done: subprocess.CompletedProcess[str]) -> None:
    assert "bug" not in done.stderr
    assert "Error" not in done.stderr  # nor what Python prints when it cannot raise
    assert done.returncode in (ExitCode.YES, ExitCode.NO, ExitCode.UNKNOWN)
    if done.returncode == ExitCode.UNKNOWN:
        assert done.stderr.startswith("sockwatch: ")
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["ports"],
        ["why", str(PORT)],
        pytest.param(["failures", "--for", "0.1"], marks=needs_root),
        ["lab", "list"],
        ["lab", "run", "two-listeners"],
    ],
    ids=" ".join,
)
def test_few_file_descriptors(arguments: list[str]) -> None:
    answers = []
    limits = FD_LIMITS if arguments[0] in ("ports", "why") else FD_LIMITS[::2]
    for limit in limits:
        done = run("bash", "-c", f'ulimit -n {limit} && exec "$@"', "-", *COMMAND, *arguments)
        check(done)
        answers.append(done.returncode != ExitCode.UNKNOWN)
        if not answers[-1]:
            assert "file descriptors" in done.stderr
            assert "ulimit -n 1024" in done.stderr
        elif arguments[0] in ("ports", "why"):
            assert str(PORT) in done.stdout
    assert answers == sorted(answers), "with more of them it answers less"
    assert answers[-1] or arguments[0] == "lab"


@pytest.mark.parametrize("port", ["None", str(PORT)])
def test_file_descriptors_that_run_out_between_two_samples(port: str) -> None:
    code = f"""
import resource
from sockwatch.kernel.snapshot import SnapshotReader
from sockwatch.model import KernelError
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
with SnapshotReader() as reader:
    before = reader.take({port})
    resource.setrlimit(resource.RLIMIT_NOFILE, (12, hard))
    try:
        reader.take({port})
    except KernelError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    after = reader.take({port})
    print([p.key for p in before.ports] == [p.key for p in after.ports], len(after.ports))
"""
    done = run(sys.executable, "-c", code)
    error, result = done.stdout.splitlines()
    assert error.startswith("too few file descriptors are left")
    assert (result, done.stderr) == ("True 1", "")


@needs_root
def test_file_descriptors_that_run_out_while_failures_are_watched() -> None:
    with watching() as process:
        limits = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (14, limits[1]))
        line = line_with(process, f"({fail()})")
        assert f"127.0.0.1:{PORT} EADDRINUSE: not explained (" in line
        assert "too few file descriptors are left" in line
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
            server.bind(path := f"{folder}/app.sock")
            pid = forked(lambda: bind(socket.AF_UNIX, path))
            assert "EADDRINUSE: not explained (" in line_with(process, f"({pid})")
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, limits)
        line = line_with(process, f"({fail()})")
        assert "not explained" not in line
        assert f"({os.getpid()})" in line


def test_no_thread_to_start() -> None:
    """The kernel refuses it to an ordinary user by RLIMIT_NPROC."""
    no_threads = ["bash", "-c", 'ulimit -u 1 && exec "$@"', "-"]
    for arguments in (["ports"], ["why", str(PORT)]):
        done = run_as_user([*no_threads, *COMMAND, *arguments])
        assert str(PORT) in done.stdout
        assert "does not answer" not in done.stderr
        assert "config.toml is not read: this process may start no thread\n" in done.stderr
        check(done)


@needs_root
@pytest.mark.parametrize("less", LESS_PROC)
def test_less_of_proc_than_usual(less: str) -> None:
    for done in (after(less, "ports"), run_as_user([*COMMAND, "ports"], before=less)):
        check(done)
        assert str(PORT) in done.stdout
    assert "no known holder" in done.stderr or "no holder among the processes" in done.stderr
    for done in (after(less, "why", str(PORT)), run_as_user([*COMMAND, "why", "80"], before=less)):
        check(done)
        assert done.stdout


@needs_root
def test_without_proc_sys_ipv6_is_known_from_elsewhere() -> None:
    less = LESS_PROC[-1]
    assert "succeeds" in after(less, "why", "[::]:9000").stdout
    assert "succeeds" in after(less, "why", "[::ffff:127.0.0.1]:9000").stdout
    Path("/proc/sys/net/ipv6/bindv6only").write_text("1")
    assert "EINVAL" in after(less, "why", "[::ffff:127.0.0.1]:9000").stdout


@needs_root
def test_without_proc_sys_an_address_of_another_host_is_a_gap() -> None:
    done = after(LESS_PROC[-1], "why", "203.0.113.7:9000")
    assert "EADDRNOTAVAIL" in done.stdout
    assert "whether bind() accepts addresses that the host does not have" in done.stdout
    set_ipv4_sysctl("ip_nonlocal_bind", "1")
    assert "succeeds" in run(*COMMAND, "why", "203.0.113.7:9000").stdout


@needs_root
@pytest.mark.parametrize("arguments", [["ports"], ["why", "80"], ["failures", "--for", "0.1"]])
def test_without_proc_it_says_so(arguments: list[str]) -> None:
    for done in (
        after(NO_PROC, *arguments),
        run_as_user([*COMMAND, *arguments], before=NO_PROC),
    ):
        check(done)
        assert done.returncode == ExitCode.UNKNOWN
        assert "is /proc mounted here?" in done.stderr or "BPF needs" in done.stderr


@pytest.fixture
def foreign_name() -> Iterator[None]:
    """A process's name that neither ASCII nor Latin-1 can write."""
    comm = Path("/proc/thread-self/comm")
    own = comm.read_text().rstrip("\n")
    comm.write_text("naïve→")
    yield
    comm.write_text(own)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_name_that_the_locale_cannot_write(encoding: str, foreign_name: None) -> None:
    done = run(*COMMAND, "ports", "--json", PYTHONIOENCODING=encoding)
    check(done)
    assert "naïve→" in str(read_document(done.stdout, "ports"))
    text = subprocess.run(
        [*COMMAND, "why", str(PORT)],
        stdout=subprocess.PIPE,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": encoding},
    ).stdout.decode(encoding)
    assert {"ascii": "na?ve?", "latin-1": "naïve?", "utf-8": "naïve→"}[encoding] in text
