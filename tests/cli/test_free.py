"""`sockwatch free` as a user meets it: what is printed and asked, and how it exits."""

from __future__ import annotations

import os
import pwd
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import pytest

from sockwatch.cli.exit_codes import ExitCode
from tests.support.schemas import read_document
from tests.support.user import run_as_user
from tests.tui.terminal import Program

SOCKWATCH = (sys.executable, "-m", "sockwatch")
PORT = 8080
SERVER = """
import ctypes, os, signal, socket, sys
signal.signal(signal.SIGTERM, getattr(signal, sys.argv[1]))
if sys.argv[2:]:
    ctypes.CDLL(None).prctl(15, os.fsencode(sys.argv[2]), 0, 0, 0)
sock = socket.socket()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.bind(("127.0.0.1", 8080))
sock.listen()
print("ready", flush=True)
signal.pause()
"""


@contextmanager
def server(on_sigterm: str = "SIG_DFL", *name: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, on_sigterm, *name], stdout=subprocess.PIPE, text=True
    ) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n"
        try:
            yield started
        finally:
            started.kill()


def free(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SOCKWATCH, "free", *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )


def asking(*arguments: str) -> Program:
    """The command in a terminal."""
    return Program([*SOCKWATCH, "free", *arguments])


def test_nothing_to_do(netns: None) -> None:
    done = free("8080")
    assert (done.returncode, done.stderr) == (ExitCode.YES, "")
    assert "nothing to do: bind() succeeds" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["8080", "--dry-run"], ExitCode.NO, ""),
        (["8080", "--dry-run", "--readonly"], ExitCode.NO, ""),
        (["8080", "--readonly", "--yes"], ExitCode.USAGE, "--readonly disables free"),
        (["8080"], ExitCode.USAGE, "there is no terminal to ask at; --yes agrees to the plan"),
        (["0"], ExitCode.USAGE, "port 0 lets the kernel choose"),
        (["8080,8081"], ExitCode.USAGE, "these are 2 ports; free one at a time"),
        (["8080", "--pid", "x"], ExitCode.USAGE, "'x' is not a PID"),
        (["8080", "--yes", "--pid", "1"], ExitCode.USAGE, "--pid 1 is no process that the plan"),
    ],
)
def test_what_does_nothing(netns: None, arguments: Sequence[str], code: int, said: str) -> None:
    with server() as started:
        done = free(*arguments)
        assert done.returncode == code
        assert said in done.stderr
        assert done.stderr.count("\n") == bool(said)
        assert started.poll() is None
        if code == ExitCode.NO:
            assert f"({started.pid}) by SIGTERM" in done.stdout
            assert f"kill {started.pid}\n" in done.stdout
            assert "risk: its clients lose their connections" in done.stdout
            assert max(map(len, done.stdout.splitlines())) <= 80


def test_yes_to_all(netns: None) -> None:
    with server() as started:
        done = free("127.0.0.1:8080", "--yes")
        assert done.returncode == ExitCode.YES, done.stderr
        assert done.stderr.endswith("sockwatch: the port is free\n")
        assert started.wait(10) == -signal.SIGTERM


def test_a_server_does_not_end_in_vain(netns: None) -> None:
    """Where a child of it would keep the port, since nobody agrees to its end."""
    leaking = SERVER.replace(
        'print("ready"',
        "import subprocess; sock.set_inheritable(True)\n"
        'heir = subprocess.Popen(["sleep", "600"], close_fds=False)\n'
        'print(heir.pid, "ready"',
    )
    with subprocess.Popen(
        [sys.executable, "-c", leaking, "SIG_DFL"], stdout=subprocess.PIPE, text=True
    ) as started:
        assert started.stdout is not None
        heir = started.stdout.readline().split()[0]
        try:
            done = free("127.0.0.1:8080", "--yes")
            assert done.returncode == ExitCode.USAGE
            assert f"sleep({heir}) only inherited the socket; --pid {heir} agrees" in done.stderr
            assert started.poll() is None
            done = free("127.0.0.1:8080", "--yes", "--pid", heir)
            assert done.returncode == ExitCode.YES, done.stderr
        finally:
            started.kill()
            with suppress(ProcessLookupError):
                os.kill(int(heir), signal.SIGKILL)


def test_yes_ends_nobody_beside_what_is_let_be(netns: None) -> None:
    """We have the port too, and are an ancestor of the command."""
    with server() as started, socket.create_server(("127.0.0.2", PORT)):
        done = free("8080", "--yes")
        assert done.returncode == ExitCode.NO
        assert f"({started.pid}) by SIGTERM" in done.stdout
        assert "that does not free the port" in done.stderr
        assert done.stderr.endswith("nothing was done\n")
        assert started.poll() is None
        with asking("8080") as terminal:
            terminal.wait_for("[y/N] ")
            assert b"sockwatch: that does not free the port" in terminal.output
            terminal.press("y\n")
            assert terminal.wait_exit() == ExitCode.NO
        assert started.wait(10) == -signal.SIGTERM


def test_yes_is_no_yes_to_sigkill(netns: None) -> None:
    with server("SIG_IGN") as started:
        done = free("8080", "--yes")
        assert done.returncode == ExitCode.NO
        assert "--kill agrees to SIGKILL" in done.stderr
        assert started.poll() is None
        done = free("8080", "--yes", "--kill", "--json")
        document = read_document(done.stdout, "free")
        assert done.returncode == ExitCode.YES, done.stderr
        assert started.wait(10) == -signal.SIGKILL
    (step,) = document["steps"]
    assert (step["kind"], step["by_sigkill"]) == ("signal", True)
    assert [target["pid"] for target in step["targets"]] == [started.pid]
    assert (document["before"]["bind"], document["after"]["bind"]) == ("EADDRINUSE", "ok")
    assert [event["kind"] for event in document["events"]] == ["begun", "done", "verdict"]


def test_the_plan_as_json(netns: None) -> None:
    with server() as started:
        done = free("8080", "--dry-run", "--json")
        document = read_document(done.stdout, "free")
        assert done.returncode == ExitCode.NO
        assert (document["after"], document["events"]) == (None, [])
        assert document["steps"][0]["command"] == f"kill {started.pid}"
        assert started.poll() is None


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ("y\n", ExitCode.YES),
        ("\n", ExitCode.NO),
        ("\x04", ExitCode.NO),
        ("yesterday\n", ExitCode.NO),
    ],
)
def test_the_question(netns: None, keys: str, code: int) -> None:
    with server() as started, asking("8080") as terminal:
        terminal.wait_for("[y/N] ")
        question = terminal.output.decode().rpartition("sockwatch: ")[2]
        assert f"({started.pid}) of {pwd.getpwuid(os.geteuid()).pw_name}, " in question
        assert "up " in question
        terminal.press(keys)
        assert terminal.wait_exit() == code
        assert (started.poll() is None) is (code != ExitCode.YES)
        if code == ExitCode.NO:
            assert b"nothing was done" in terminal.output


def test_what_was_typed_ahead_is_no_answer(netns: None) -> None:
    with server() as started, asking("8080") as terminal:
        terminal.press("y\n")
        terminal.wait_for("[y/N] ")
        terminal.press("n\n")
        assert terminal.wait_exit() == ExitCode.NO
        assert started.poll() is None


def test_resumed_at_the_question(netns: None) -> None:
    """As by fg, which shows nothing of what stood there."""
    with server() as started, asking("8080") as terminal:
        terminal.wait_for("[y/N] ")
        terminal.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, terminal.process.pid, os.WSTOPPED | os.WNOWAIT)
        terminal.press("y\n")
        terminal.process.send_signal(signal.SIGCONT)
        terminal.wait_until(lambda: terminal.output.count(b"[y/N] ") == 2, "not asked again")
        terminal.press("n\n")
        assert terminal.wait_exit() == ExitCode.NO
        assert started.poll() is None


def test_interrupted_at_the_question(netns: None) -> None:
    with server() as started, asking("8080") as terminal:
        terminal.wait_for("[y/N] ")
        terminal.press("\x03")
        assert terminal.wait_exit() == ExitCode.INTERRUPTED
        assert started.poll() is None


def test_interrupted_in_the_middle(netns: None) -> None:
    handler = SERVER.replace("getattr(signal, sys.argv[1])", "lambda *_: None")
    code = handler.replace("signal.pause()", "[signal.pause() for _ in range(9)]")
    with subprocess.Popen(
        [sys.executable, "-c", code, "-"], stdout=subprocess.PIPE, text=True
    ) as started:
        assert started.stdout is not None
        started.stdout.readline()
        with asking("8080", "--yes") as terminal:
            terminal.wait_for("SIGTERM sent to ")
            terminal.press("\x03")
            assert terminal.wait_exit() == ExitCode.INTERRUPTED
            assert b"sockwatch: stopped: SIGTERM was sent to " in terminal.output
        assert started.poll() is None
        started.kill()


def test_a_holder_that_ends_while_asking(netns: None) -> None:
    with server() as started, asking("8080") as terminal:
        terminal.wait_for("[y/N] ")
        started.kill()
        started.wait()
        terminal.press("y\n")
        assert terminal.wait_exit() == ExitCode.YES
        assert b"has ended" in terminal.output


def test_another_server_that_gets_the_port_while_asking(netns: None) -> None:
    with server() as first, asking("8080") as terminal:
        terminal.wait_for("[y/N] ")
        first.kill()
        first.wait()
        with server() as second:
            terminal.press("y\n")
            assert terminal.wait_exit() == ExitCode.NO
            assert f"({second.pid}) has the port".encode() in terminal.output
            assert second.poll() is None


@pytest.mark.parametrize("name", ["\x1b[31mr\n\x07[b]x", "\u202eevil y/N] y"])
def test_a_hostile_name(netns: None, name: str) -> None:
    with server("SIG_DFL", name) as started, asking("8080") as terminal:
        terminal.wait_for("[y/N] ")
        assert b"\x1b" not in terminal.output  # nor does anything colour the question
        assert b"\x07" not in terminal.output
        assert "\u202e" not in terminal.output.decode()
        assert f"({started.pid}) of ".encode() in terminal.output
        terminal.press("n\n")
        assert terminal.wait_exit() == ExitCode.NO


def test_a_terminal_that_hangs_up_means_no(netns: None) -> None:
    with server() as started, asking("8080") as terminal:
        terminal.wait_for("[y/N] ")
        terminal.hang_up()
        terminal.process.wait(20)
        assert started.poll() is None


def test_both_addresses_of_a_port_alone(netns: None) -> None:
    with socket.socket(socket.AF_INET6) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(("::1", PORT))
        sock.listen()
        done = free("8080", "--dry-run")
        assert done.returncode == ExitCode.NO
        assert "let be" in done.stdout  # we are an ancestor of the command
        assert free("0.0.0.0:8080", "--dry-run").returncode == ExitCode.YES


def test_an_ancestor_stays(netns: None) -> None:
    with socket.create_server(("127.0.0.1", PORT)):
        done = free("8080", "--yes", "--kill")
        assert done.returncode == ExitCode.NO
        assert "this sockwatch was started from it" in " ".join(done.stdout.split())


def test_as_an_ordinary_user(netns: None) -> None:
    """Own processes are ended; for others, root is asked for."""
    own = [sys.executable, "-c", SERVER.replace("8080", "8081"), "SIG_DFL"]
    commands = (
        f"exec 3< <({shlex.join(own)}) && read -u 3 _",
        f"{shlex.join(SOCKWATCH)} free 127.0.0.1:8081 --yes --kill; echo $?",
        f"{shlex.join(SOCKWATCH)} free 8080 --yes --kill; echo $?",
    )
    with server() as started:
        done = run_as_user(["bash", "-c", "\n".join(commands)])
        assert started.poll() is None
    freed, _, refused = done.stdout.partition("\n0\n")
    assert "by SIGTERM" in freed, done.stdout + done.stderr
    assert refused.endswith("\n1\n")
    (command,) = [line.strip() for line in refused.splitlines() if "sudo " in line]
    assert " free 0.0.0.0:8080 " in command


def test_closed_output(netns: None) -> None:
    """Nobody is ended by a plan that could not be shown."""
    with server() as started:
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [*SOCKWATCH, "free", "8080", "--yes"],
            stdout=writer,
            stderr=subprocess.PIPE,
            check=False,
        )
        os.close(writer)
        assert done.returncode == -signal.SIGPIPE
        assert started.poll() is None
