"""`sockwatch wait` as a user and a unit meet it: exit codes, streams, signals, documents."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sockwatch.cli.dispatch import dispatch
from sockwatch.cli.exit_codes import ExitCode
from tests.bind.calls import attempt
from tests.cli.bed import bed
from tests.support.child import idle_child
from tests.support.privilege import needs_root
from tests.support.schemas import read_document
from tests.support.user import run_as_user
from tests.support.waiting import PATIENCE_S

PORT = 8080
COMMAND = [sys.executable, "-m", "sockwatch", "wait"]


def wait(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=60
    )


@contextmanager
def waiting(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """One that has said what it waits for; it is killed if it is still there at the end."""
    with subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            said = process.stderr.readline()
            assert "waiting" in said
            yield process
        finally:
            process.kill()


def answer(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code and what it printed."""
    out, _ = process.communicate(timeout=2 * PATIENCE_S)
    return process.returncode, out


def bindable() -> str:
    with socket.socket() as sock:
        answer = attempt(lambda: sock.bind(("0.0.0.0", PORT)))
        return attempt(sock.listen) if answer == "ok" else answer


@pytest.fixture
def listener(netns: None) -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", PORT))
        sock.listen()
        yield sock


def test_a_free_port(netns: None) -> None:
    done = wait(str(PORT))
    assert (done.returncode, done.stderr) == (ExitCode.YES, "")
    assert done.stdout == "8080/tcp: bind() succeeds on 0.0.0.0 and [::]\n"
    assert bindable() == "ok"


def test_a_server_is_not_waited_for(listener: socket.socket) -> None:
    done = wait("127.0.0.1:8080")
    assert done.returncode == ExitCode.NO
    assert done.stdout.startswith("8080/tcp: EADDRINUSE on 127.0.0.1: ")
    assert f"({os.getpid()}) listens on 127.0.0.1:8080" in done.stdout
    assert "waiting cannot help; --timeout SECONDS waits all the same" in done.stderr
    assert done.stdout.count("\n") == done.stderr.count("\n") == 1


def test_a_server_is_waited_for_with_a_timeout(listener: socket.socket) -> None:
    with waiting(str(PORT), "--timeout", "60") as process:
        listener.close()
        code, out = answer(process)
    assert (code, bindable()) == (ExitCode.YES, "ok")
    assert out.startswith("8080/tcp: bind() succeeds on 0.0.0.0 and [::]; waited ")


def test_the_end_of_a_process(listener: socket.socket) -> None:
    with idle_child() as pid:
        listener.close()
        with waiting(str(PORT), "--timeout", "inf") as process:
            os.kill(pid, signal.SIGKILL)
            code, _ = answer(process)
    assert (code, bindable()) == (ExitCode.YES, "ok")


def test_the_time_is_over(listener: socket.socket) -> None:
    done = wait(str(PORT), "--timeout", "0.1")
    assert done.returncode == ExitCode.NO
    assert "waiting all the same, for 0.1 s at most" in done.stderr
    assert "; waited " in done.stdout
    at_once = wait(str(PORT), "--timeout", "0")
    assert (at_once.returncode, at_once.stderr) == (ExitCode.NO, "")


def test_draining_connections_are_waited_for(listener: socket.socket) -> None:
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(socket.create_connection(listener.getsockname()))
        server = stack.enter_context(listener.accept()[0])
        listener.close()
        with subprocess.Popen(
            [*COMMAND, str(PORT)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            said = process.stderr.readline()
            client.close()
            server.send(b"the peer answers with a reset")
            server.close()
            out, more = process.communicate(timeout=2 * PATIENCE_S)
    assert said.endswith(f"({os.getpid()}) draining, 1 connection\n")
    assert more == ""
    assert (process.returncode, bindable()) == (ExitCode.YES, "ok")
    assert out.startswith("8080/tcp: bind() succeeds")


def test_a_time_wait_is_said_once(listener: socket.socket) -> None:
    client = socket.create_connection(listener.getsockname())
    server, _ = listener.accept()
    listener.close()
    server.close()
    client.close()
    done = wait(str(PORT), "--timeout", "1")
    assert done.returncode == ExitCode.NO
    assert done.stderr.startswith("sockwatch: 8080/tcp: waiting for TIME_WAIT (frees in ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("ended", ["free", "cannot-help", "timeout"])
def test_json(netns: None, ended: str) -> None:
    with socket.socket() as sock:
        if ended != "free":
            sock.bind(("127.0.0.1", PORT))
            sock.listen()
        limit = ["--timeout", "0.1"] if ended == "timeout" else []
        done = wait("8080", "127.0.0.1:8081", "--json", *limit)
    document = read_document(done.stdout, "wait")
    assert document["ended"] == ("met" if ended == "free" else ended)
    assert document["until"] == "free"
    assert [port["is_met"] for port in document["ports"]] == [ended == "free", True]
    both, one = (port["verdicts"] for port in document["ports"])
    assert [verdict["request"]["address"] for verdict in both] == ["0.0.0.0", "::"]
    assert [verdict["bind"] for verdict in one] == ["ok"]
    assert done.returncode == (ExitCode.YES if ended == "free" else ExitCode.NO)


def test_until_something_listens(netns: None) -> None:
    with (
        waiting("--listening", "localhost:8080", "9090") as process,
        socket.socket() as first,
        socket.socket() as second,
    ):
        for sock, port in ((first, PORT), (second, 9090)):
            sock.bind(("127.0.0.1", port))
            sock.listen()
        code, out = answer(process)
    assert code == ExitCode.YES
    lines = out.splitlines()
    assert f"({os.getpid()}) listens on 127.0.0.1:8080; waited " in lines[0]
    assert f"({os.getpid()}) listens on 127.0.0.1:9090; waited " in lines[1]


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_what_listens_already(netns: None, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", PORT))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        udp = ["--udp"] if kind == socket.SOCK_DGRAM else []
        done = wait("--listening", str(PORT), "--json", *udp)
    document = read_document(done.stdout, "wait")
    assert (done.returncode, document["ended"]) == (ExitCode.YES, "met")
    (port,) = document["ports"]
    (seen,) = port["listeners"]
    assert [holder["pid"] for holder in seen["holders"]] == [os.getpid()]
    assert (port["verdicts"], port["is_met"]) == (None, True)


def test_another_address_is_not_listened_on(listener: socket.socket) -> None:
    done = wait("--listening", "127.0.0.2:8080", "--timeout", "0.1")
    assert done.returncode == ExitCode.NO
    assert done.stdout.startswith("8080/tcp: nothing listens on 127.0.0.2, only on 127.0.0.1:8080;")


def test_a_listener_that_does_not_accept_is_waited_for(netns: None) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", PORT))
        sock.listen(0)
        with socket.create_connection(sock.getsockname()):
            done = wait("--listening", str(PORT), "--timeout", "0.1")
            assert done.returncode == ExitCode.NO
            assert "the accept queue of 127.0.0.1:8080 is full" in done.stderr
            with waiting("--listening", str(PORT)) as process:
                sock.accept()[0].close()
                assert answer(process)[0] == ExitCode.YES


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["8080", "--timeout", "nan"], "'nan' is not a number of seconds from 0"),
        (["8080", "--timeout", "-1"], "'-1' is not a number of seconds from 0"),
        (["8080", "--timeout=-0.001"], "'-0.001' is not a number of seconds from 0"),
        (["8080", "--timeout", "soon"], "'soon' is not a number of seconds from 0"),
        (["0"], "port 0 lets the kernel choose a free port"),
        (["--listening", "8080", "--reuseport"], "type it without --reuseport"),
        (["--listening", "8080", "--uid", "0"], "type it without --uid"),
        (["70000"], "port 70000 is too large"),
        ([], "the following arguments are required"),
    ],
)
def test_what_cannot_be_waited_for_gets_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dispatch(["wait", *arguments]) == ExitCode.USAGE
    said = capsys.readouterr()
    assert message in said.err
    assert (said.out, said.err.count("\n")) == ("", 1)


@pytest.mark.parametrize("limit", ["1e300", "1e400"])
def test_a_huge_timeout(listener: socket.socket, limit: str) -> None:
    with waiting(str(PORT), "--timeout", limit) as process:
        listener.close()
        assert answer(process)[0] == ExitCode.YES


@pytest.mark.parametrize(
    ("number", "code", "listening"),
    [
        (signal.SIGTERM, -signal.SIGTERM, False),
        (signal.SIGTERM, -signal.SIGTERM, True),
        (signal.SIGINT, ExitCode.INTERRUPTED, False),
        (signal.SIGINT, ExitCode.INTERRUPTED, True),
    ],
)
def test_a_signal_ends_it_quietly(
    listener: socket.socket, number: int, code: int, listening: bool
) -> None:
    arguments = ["--listening", "9090"] if listening else [str(PORT), "--timeout", "inf"]
    with waiting(*arguments) as process:
        process.send_signal(number)
        out, more = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out, more) == (code, "", "")


@needs_root
def test_sigterm_ends_it_as_the_first_process_of_a_container(listener: socket.socket) -> None:
    with subprocess.Popen(
        ["unshare", "-p", "-f", "--mount-proc", *COMMAND, str(PORT), "--timeout", "inf"],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert "waiting" in process.stderr.readline()
        with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
            os.kill(int(file.read()), signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 128 + signal.SIGTERM
        assert process.stderr.read() == ""


def test_a_closed_stderr_costs_nothing(listener: socket.socket) -> None:
    words = " ".join([*COMMAND, str(PORT), "--timeout", "0.1", "2>&-"])
    done = subprocess.run(["sh", "-c", words], stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == ExitCode.NO
    assert done.stdout.startswith("8080/tcp: EADDRINUSE")


@needs_root
def test_another_namespace() -> None:
    with bed() as place:
        place.add("blue")
        with place.served("blue", PORT) as pid:
            assert place.sockwatch("wait", str(PORT)).returncode == ExitCode.YES
            taken = place.sockwatch("wait", str(PORT), "--netns", "blue")
            assert taken.returncode == ExitCode.NO
            served = place.sockwatch("wait", "--listening", str(PORT), "--netns", "blue", "--json")
            document = read_document(served.stdout, "wait")
            assert document["netns"]["name"] == "blue"
            (holder,) = document["ports"][0]["listeners"][0]["holders"]
            assert holder["pid"] == pid
            words = ["wait", str(PORT), "--netns", "blue", "--timeout", "60", "--json"]
            command = ["nsenter", "-t", str(place.pid), "-n", "-m", *COMMAND[:-1], *words]
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            ) as process:
                assert process.stderr is not None
                assert "waiting" in process.stderr.readline()
                os.kill(pid, signal.SIGKILL)
                out, _ = process.communicate(timeout=2 * PATIENCE_S)
            assert (process.returncode, json.loads(out)["ended"]) == (ExitCode.YES, "met")


@needs_root
def test_as_an_ordinary_user(listener: socket.socket) -> None:
    taken = run_as_user([*COMMAND, str(PORT)])
    assert taken.returncode == ExitCode.NO, taken.stderr
    assert "Traceback" not in taken.stderr
    free = run_as_user([*COMMAND, "8081"])
    assert (free.returncode, free.stdout.startswith("8081/tcp: bind() succeeds")) == (0, True)
    low = run_as_user([*COMMAND, "80", "--timeout", "0.1"])
    assert low.returncode == ExitCode.NO
    assert "EACCES" in low.stdout
    reuse = run_as_user([*COMMAND, "127.0.0.1:8080", "--reuseport", "--uid", "0"])
    assert reuse.returncode == ExitCode.UNKNOWN
    assert "it depends" in reuse.stdout
