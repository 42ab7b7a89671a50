"""`sockwatch run` as a user meets it: what it says, its statuses, the programs it runs."""

from __future__ import annotations

import errno
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sockwatch.act.run import CANNOT_EXECUTE, NOT_FOUND
from sockwatch.cli.exit_codes import ExitCode
from tests.support.failing import compiled
from tests.support.netns import netns_inode
from tests.support.privilege import REAL_ROOT, needs_root
from tests.support.run import PYTHON, command, run, server
from tests.support.schemas import read_document
from tests.support.tools import need
from tests.support.user import run_as_user

WAYS = [
    "seccomp",
    pytest.param("bpf", marks=pytest.mark.skipif(not REAL_ROOT, reason="needs root")),
]
SECCOMP = ["--by", "seccomp"]
NO_FAILURE = "no bind() or listen() failed"


@pytest.fixture
def taken(netns: None) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 8080)) as sock:
        yield sock


@pytest.mark.parametrize("way", WAYS)
def test_a_failure_is_explained_and_nothing_else_changes(way: str, taken: socket.socket) -> None:
    done = run(["--by", way], server(8081, 8080, 8080))
    assert done.stdout.splitlines() == [
        "8081 serves",
        f"8080 {errno.EADDRINUSE}",
        f"8080 {errno.EADDRINUSE}",
    ]
    assert done.returncode == 0
    title, *lines, last = done.stderr.splitlines()
    assert title.endswith(" bind tcp 127.0.0.1:8080 EADDRINUSE")
    text = "\n".join(lines)
    assert f"({os.getpid()}) " in text
    assert text.count("EADDRINUSE") == 0  # once for each address
    assert all(line.startswith("sockwatch: ") and len(line) <= 80 for line in lines)
    name = os.path.basename(sys.executable)
    assert last == (
        f"sockwatch: {name} ended with 0; 2 bind() or listen() calls failed, on 1 address"
    )


@pytest.mark.parametrize("way", WAYS)
def test_json_lines(way: str, taken: socket.socket, tmp_path: Path) -> None:
    file = tmp_path / "failures.jsonl"
    done = run(["--by", way, "--json", "--to", str(file)], server(8080))
    assert (done.returncode, done.stderr) == (0, "")
    first, last = file.read_text().splitlines()
    failure: dict[str, Any] = read_document(first, "failures")
    assert failure["errno"] == "EADDRINUSE"
    assert failure["explained"] is True
    assert (failure["address"], failure["port"]) == ("127.0.0.1", 8080)
    assert failure["flags_source"] == ("bpf" if way == "bpf" else "pidfd_getfd")
    assert failure["netns"]["inode"] == netns_inode()
    assert {holder["pid"] for holder in failure["blockers"][0]["holders"]} == {os.getpid()}
    summary = read_document(last, "run")
    assert (summary["status"], summary["failures"], summary["addresses"]) == (0, 1, 1)
    assert summary["unseen"] == []


@pytest.mark.parametrize(
    "way",
    ["seccomp", pytest.param("bpf", marks=[pytest.mark.exhaustive, needs_root])],
)
@pytest.mark.parametrize(
    ("program", "status"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -TERM $$"], 128 + signal.SIGTERM),
        (["sh", "-c", "kill -KILL $$"], 128 + signal.SIGKILL),
        (["/nonexistent/program"], NOT_FOUND),
        (["no-such-program"], NOT_FOUND),
        (["/etc/passwd"], CANNOT_EXECUTE),
        (["/etc"], CANNOT_EXECUTE),
    ],
)
def test_it_ends_as_the_program_does(
    way: str, program: list[str], status: int, netns: None
) -> None:
    done = run(["--by", way], program)
    assert done.returncode == status
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    if program[0].startswith(("/", "no-")):
        assert " cannot be run: " in done.stderr
    else:
        assert done.stderr.endswith(f" ended with {status}; {NO_FAILURE}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "what is to be run? type sockwatch run -- CMD"),
        (["--"], "what is to be run? type sockwatch run -- CMD"),
        (["--wait=0", "--", "true"], "'0' is not a positive number of seconds"),
        (["--wait", "true"], "'true' is not a positive number of seconds; put -- before"),
        (["--wait", "--by", "bpf", "--", "true"], "--wait needs the filter of --by seccomp"),
        (["--to", "/nonexistent/file", "--", "true"], "--to /nonexistent/file: No such file"),
    ],
)
def test_a_wrong_command_line(arguments: list[str], message: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sockwatch", "run", *arguments],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == ExitCode.USAGE
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_options_of_the_program_are_its_own(netns: None) -> None:
    done = run(SECCOMP, ["echo", "--json", "--", "--debug", "--help"])
    assert done.stdout == "--json -- --debug --help\n"


@pytest.mark.parametrize("way", WAYS)
def test_the_program_is_as_without_us(way: str, netns: None) -> None:
    """Its environment, fds, signals, process group, session, limits and working directory."""
    script = """
import os, resource, signal, sys
fds = [fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")]
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
print([len(fds), os.getcwd(), os.getpgrp() == os.getpgid(os.getppid()), os.getsid(0)])
names = ("SigBlk", "SigIgn", "SigCgt", "Groups", "CapEff", "NoNewPrivs")
print({name: status[name].strip() for name in names})
print({k: v for k, v in os.environ.items() if k not in ("_", "LISTEN_PID")})
print(os.environ.get("LISTEN_PID") == str(os.getpid()))
"""
    program = [*PYTHON, script]
    plain = ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh"]
    with open("/dev/null") as file:
        os.set_inheritable(file.fileno(), True)
        without, with_us = (
            subprocess.run(
                [*plain, *words], capture_output=True, text=True, check=True,
                timeout=60, pass_fds=[file.fileno()],
            ).stdout
            for words in (program, command(["--by", way], program))
        )  # fmt: skip
    assert with_us == without.replace("NoNewPrivs': '0", f"NoNewPrivs': '{0 if REAL_ROOT else 1}")


@pytest.mark.parametrize("way", WAYS)
def test_a_closed_standard_error_stays_closed(way: str, taken: socket.socket) -> None:
    script = "import os; print([fd for fd in range(9) if os.path.exists(f'/proc/self/fd/{fd}')])"
    words = command(["--by", way], [*PYTHON, script])
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", *words],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == "[0, 1]\n"


@pytest.mark.parametrize("way", WAYS)
def test_a_reader_of_standard_error_that_has_gone(way: str, taken: socket.socket) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    script = "import time, sys; time.sleep(0.1); sys.exit(5)"
    program = ["sh", "-c", f"{shlex.join(server(8080))}; exec {shlex.join([*PYTHON, script])}"]
    done = subprocess.run(
        command(["--by", way], program),
        stdout=subprocess.PIPE, stderr=writer, text=True, check=False, timeout=60,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stdout) == (5, f"8080 {errno.EADDRINUSE}\n")


def test_static_busybox(taken: socket.socket) -> None:
    need("busybox")
    done = run(SECCOMP, ["busybox", "httpd", "-f", "-p", "127.0.0.1:8080"])
    assert done.returncode == 1
    assert "httpd: bind: Address already in use" in done.stderr
    assert "bind tcp 127.0.0.1:8080 (reuseaddr) EADDRINUSE" in done.stderr
    assert f"({os.getpid()}) listens on 127.0.0.1:8080" in done.stderr


@pytest.mark.parametrize("way", WAYS)
def test_go(way: str, taken: socket.socket) -> None:
    need("docker-proxy")
    ends = ["-host-ip", "127.0.0.1", "-container-ip", "127.0.0.1", "-container-port", "80"]
    program = ["docker-proxy", "-proto", "tcp", "-host-port", "8080", *ends]
    done = run(["--by", way], ["sh", "-c", 'exec "$@" 3>&2', "sh", *program])
    assert done.returncode != 0
    assert "address already in use" in done.stderr
    assert "docker-proxy" in done.stderr
    assert "bind tcp 127.0.0.1:8080" in done.stderr


def test_node(taken: socket.socket) -> None:
    need("node")
    script = 'require("http").createServer().listen(8080, "127.0.0.1")'
    done = run(SECCOMP, ["node", "-e", script])
    assert done.returncode == 1
    assert "EADDRINUSE: address already in use 127.0.0.1:8080" in done.stderr
    assert " tcp 127.0.0.1:8080 (reuseaddr) EADDRINUSE" in done.stderr


def test_threads(taken: socket.socket) -> None:
    """Each has a number of its own, and they fail at the same time."""
    script = """
import socket, threading
def bind(port):
    sock = socket.socket()
    try:
        sock.bind(("127.0.0.1", port))
    except OSError as error:
        found.append(error.errno)
found = []
threads = [threading.Thread(target=bind, args=(8080,)) for _ in range(20)]
threads += [threading.Thread(target=bind, args=(9000 + n,)) for n in range(20)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(found)
"""
    done = run(SECCOMP, [*PYTHON, script])
    assert done.stdout == f"{[errno.EADDRINUSE] * 20}\n"
    assert done.stderr.count(" bind tcp 127.0.0.1:8080 EADDRINUSE") == 1
    assert done.stderr.endswith("20 bind() or listen() calls failed, on 1 address\n")


OWN_FILES = """
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>
static void *serve(void *unused) {
    struct sockaddr_in to = {AF_INET, htons(8080), {htonl(INADDR_LOOPBACK)}};
    unshare(CLONE_FILES);
    close(0);
    int sock = socket(AF_INET, SOCK_STREAM, 0);
    int result = bind(sock, (void *)&to, sizeof to);
    printf("%d %d\\n", sock, result ? errno : 0);
    return 0;
}
int main(void) {
    pthread_t thread;
    socket(AF_INET, SOCK_STREAM, 0); /* the leader's, with another number */
    pthread_create(&thread, 0, serve, 0);
    pthread_join(thread, 0);
    return 0;
}
"""


def test_a_thread_with_fds_of_its_own_is_left_to_the_kernel(
    taken: socket.socket, tmp_path: Path
) -> None:
    done = run(SECCOMP, [compiled(OWN_FILES, tmp_path, "own_files")])
    assert done.stdout == f"0 {errno.EADDRINUSE}\n"
    assert "1 was not seen: the program does not let its memory or its fds be read" in done.stderr


@pytest.mark.parametrize("way", WAYS)
def test_children_and_what_they_start(way: str, taken: socket.socket) -> None:
    words = " ".join(f"'{word}'" for word in server(8080))
    done = run(["--by", way], ["sh", "-c", f"(({words}); true) & wait"])
    assert " bind tcp 127.0.0.1:8080 EADDRINUSE" in done.stderr


@pytest.mark.parametrize("way", WAYS)
def test_others_of_the_host_are_not_reported(way: str, taken: socket.socket) -> None:
    script = "import sys; print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        command(["--by", way], [*PYTHON, script]),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        subprocess.run(server(8080), check=True, timeout=60, stdout=subprocess.DEVNULL)
        _, err = process.communicate(timeout=60)
    assert err.endswith(f"; {NO_FAILURE}\n")


@pytest.mark.exhaustive
def test_a_program_that_tries_many_ports(netns: None) -> None:
    """What is explained is limited, what is counted is not."""
    script = """
import socket
owners = [socket.create_server(("127.0.0.1", 20000 + n)) for n in range(30)]
for n in range(30):
    try: socket.socket().bind(("127.0.0.1", 20000 + n))
    except OSError: pass
"""
    done = run(["--by", "seccomp", "--json"], [*PYTHON, script])
    *lines, last = done.stderr.splitlines()
    assert len(lines) == 20
    assert {json.loads(line)["cause"]["id"] for line in lines} == {"same-process"}
    assert json.loads(last)["addresses"] == 30


def test_an_ordinary_user(taken: socket.socket) -> None:
    """A low port takes a right; a port that root has says so."""
    done = run_as_user(command([], server(80, 8080)))
    assert done.stdout.splitlines() == [f"80 {errno.EACCES}", f"8080 {errno.EADDRINUSE}"]
    assert " bind tcp 127.0.0.1:80 EACCES" in done.stderr
    assert " bind tcp 127.0.0.1:8080 EADDRINUSE" in done.stderr
    assert "not explained" not in done.stderr
    assert done.stderr.endswith("2 bind() or listen() calls failed, on 2 addresses\n")


def test_advice_names_the_command_wherever_it_was_started(taken: socket.socket) -> None:
    """What explains has gone to /, so that it keeps no mount busy."""
    folder = f"{sys.prefix}/bin"
    line = shlex.join(["./sockwatch", "run", "--", *server(8080)])
    done = run_as_user(["sh", "-c", f"cd {shlex.quote(folder)} && {line}"])
    assert f"sudo {folder}/sockwatch why" in done.stderr.replace("\nsockwatch: ", "").replace(
        "  ", ""
    )


GAINS = """
import os, shutil
for name in ("setuid", "capable"):
    shutil.copy("/usr/bin/id", f"/mnt/{name}")
os.chmod("/mnt/setuid", 0o4755)
# struct vfs_cap_data: CAP_NET_BIND_SERVICE, permitted and effective
data = b"".join(word.to_bytes(4, "little") for word in (0x02000001, 1 << 10, 0, 0, 0))
os.setxattr("/mnt/capable", "security.capability", data)
"""


@pytest.mark.parametrize(
    ("name", "gains"), [("setuid", "is setuid"), ("capable", "has file capabilities")]
)
def test_what_the_filter_takes_from_a_program_is_said_first(
    name: str, gains: str, netns: None
) -> None:
    prepare = f"mount -t tmpfs -o mode=755 none /mnt && {shlex.join([*PYTHON, GAINS])}"
    done = run_as_user(command([], [f"/mnt/{name}"]), before=prepare)
    warning, *_ = done.stderr.splitlines()
    assert warning.startswith(
        f"sockwatch: /mnt/{name} {gains}, which does not count under this filter: "
    )
    assert done.returncode == 0
    assert "euid=0" not in done.stdout


def test_root_keeps_what_a_program_gains(netns: None, tmp_path: Path) -> None:
    need("setpriv")
    done = run(SECCOMP, ["sh", "-c", "grep NoNewPrivs /proc/self/status"])
    if not REAL_ROOT:
        pytest.skip("needs root")
    assert done.stdout.split() == ["NoNewPrivs:", "0"]


def test_nested(taken: socket.socket) -> None:
    """The outer one sees the failure; the inner one says that it does not."""
    done = run(SECCOMP, command(SECCOMP, server(8080)))
    assert done.stdout == f"8080 {errno.EADDRINUSE}\n"
    assert (
        "sockwatch: failures will not be seen: its bind() and listen() calls are in the hands of "
        "another program already, such as an outer sockwatch run\n"
    ) in done.stderr
    assert done.stderr.count(" bind tcp 127.0.0.1:8080 EADDRINUSE") == 1
    assert "python" in done.stderr.splitlines()[-1]


def test_where_the_kernel_refuses_the_filter(taken: socket.socket) -> None:
    from tests.support import seccomp
    from tests.support.child import in_child

    def refused() -> tuple[int, str, str]:
        seccomp.refuse("seccomp", errno.ENOSYS)
        done = run(SECCOMP, server(8080))
        return done.returncode, done.stdout, done.stderr

    status, out, err = in_child(refused)
    assert (status, out) == (0, f"8080 {errno.EADDRINUSE}\n")
    assert "failures will not be seen: the kernel refuses a seccomp filter" in err
