"""What --version tells of this host, and of hosts that allow less."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest

import sockwatch
from sockwatch.cli import version
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.version import LIBRARIES, version_lines
from tests.support.privilege import needs_btf, needs_root
from tests.support.user import run_as_user

COMMAND = [sys.executable, "-m", "sockwatch", "--version"]
# Install a filter, then run the command in the same process.
FILTERED = """
import sys
from tests.support import seccomp
seccomp.{filter}
from sockwatch.cli import main
sys.exit(main(["--version"]))
"""


def told(output: str) -> dict[str, str]:
    """What is possible, by name."""
    lines = output.splitlines()[3:]
    return {line[:20].rstrip(): line[21:] for line in lines}


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL
    )


def filtered(call: str) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-c", FILTERED.format(filter=call))


def test_the_first_line_is_for_scripts() -> None:
    done = run(*COMMAND)
    first, second, third, *_ = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (ExitCode.YES, "")
    assert first == f"sockwatch {sockwatch.__version__}"
    assert second.startswith("Python 3.")
    assert all(f", {library} " in second for library in LIBRARIES)
    assert third.startswith(f"Linux {os.uname().release}")
    assert third.endswith(f"{os.uname().machine}, uid {os.geteuid()}")


@needs_root
@needs_btf
def test_root_is_told_that_all_is_possible() -> None:
    answers = told(run(*COMMAND).stdout)
    for name in ("sock_diag", "BPF", "pidfd_getfd", "other namespaces", "seccomp notification"):
        assert answers[name] == "yes"
    assert answers["listns"] in ("yes", "no: needs Linux 6.19")
    assert answers["bound sockets"] in ("yes", "no: needs Linux 6.8")


def test_an_ordinary_user_is_told_what_is_missing() -> None:
    done = run_as_user(COMMAND)
    assert (done.returncode, done.stderr) == (ExitCode.YES, "")
    answers = told(done.stdout)
    assert answers["sock_diag"] == "yes"
    assert answers["BPF"].startswith("no: BPF needs CAP_BPF and CAP_PERFMON; run as root")
    assert answers["pidfd_getfd"] == "yes: of processes that ptrace(2) lets this user read"
    assert answers["other namespaces"].startswith("no: needs CAP_SYS_ADMIN")


@pytest.mark.parametrize(
    ("call", "name", "answer"),
    [
        ("refuse_netlink()", "sock_diag", "no: sock_diag: Operation not permitted"),
        ("refuse('pidfd_getfd')", "pidfd_getfd", "no: Operation not permitted"),
        ("refuse('pidfd_getfd', 38)", "pidfd_getfd", "no: Function not implemented"),
        pytest.param("refuse('bpf')", "BPF", "no: a seccomp filter", marks=[needs_root, needs_btf]),
    ],
)
def test_what_a_filter_refuses_is_told(call: str, name: str, answer: str) -> None:
    done = filtered(call)
    assert (done.returncode, done.stderr) == (ExitCode.YES, "")
    assert answer in told(done.stdout)[name]


def test_what_was_known_is_told_by_then_where_a_filter_kills() -> None:
    done = filtered("kill_at('pidfd_getfd')")
    assert done.returncode == -signal.SIGSYS
    assert done.stdout.startswith(f"sockwatch {sockwatch.__version__}\n")
    assert list(told(done.stdout)) == ["sock_diag", "bound sockets", "BPF"]


@needs_root
@pytest.mark.parametrize("prepare", ["mount -t tmpfs none /proc", "mount -t tmpfs none /sys"])
def test_without_proc_or_sys(prepare: str) -> None:
    done = run("unshare", "-m", "sh", "-c", f'{prepare} && exec "$@"', "-", *COMMAND)
    assert (done.returncode, done.stderr) == (ExitCode.YES, "")
    assert "Error" not in done.stdout
    assert ": No such file" not in re.sub(r": /\S+: No such file", "", done.stdout)
    assert len(told(done.stdout)) == len(told(run(*COMMAND).stdout))


def test_a_library_without_metadata_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(version, "version", unknown)
    _, line, *_ = version_lines()
    assert line.endswith(", textual ?, psutil ?, pyroute2 ?, rich ?")


def test_a_reader_of_one_line_ends_it_in_silence() -> None:
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"sockwatch ")
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode in (ExitCode.YES, -signal.SIGPIPE)
