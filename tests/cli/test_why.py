"""`sockwatch why` on real sockets: the answer, its exit code, and wrong endpoints."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from sockwatch.bind import BindRequest
from sockwatch.cli import ExitCode
from sockwatch.cli.command import UsageError
from sockwatch.cli.endpoint import parse_endpoint
from sockwatch.model import SockwatchError
from sockwatch.view.request import parse_request, request_text
from tests.support.schemas import read_document


def why(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sockwatch", "why", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def listener(netns: None) -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", 8080))
        sock.listen()
        yield sock


def attempt(address: str, port: int, *options: int) -> str:
    """What the kernel says."""
    with socket.socket() as sock:
        for option in options:
            sock.setsockopt(socket.SOL_SOCKET, option, 1)
        try:
            sock.bind((address, port))
        except OSError as error:
            return str(error.errno)
        sock.listen()
    return "ok"


def test_a_free_port(netns: None) -> None:
    done = why("8080")
    assert (done.returncode, attempt("0.0.0.0", 8080)) == (ExitCode.YES, "ok")
    assert done.stdout.startswith("tcp 0.0.0.0:8080: bind() and listen() would succeed")


def test_a_taken_port(listener: socket.socket) -> None:
    done = why("8080", "--reuseaddr")
    assert done.returncode == ExitCode.NO
    assert attempt("0.0.0.0", 8080, socket.SO_REUSEADDR) == str(98)
    assert "bind() would fail with EADDRINUSE" in done.stdout
    assert f"({os.getpid()})" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_flag_that_helps(listener: socket.socket) -> None:
    done = why("127.0.0.1:8080", "--reuseport")
    assert done.returncode == ExitCode.YES
    assert attempt("127.0.0.1", 8080, socket.SO_REUSEPORT) == "ok"


def test_json(listener: socket.socket) -> None:
    done = why("127.0.0.1:8080", "--json")
    assert done.returncode == ExitCode.NO
    document = read_document(done.stdout, "why")
    assert document["schema"] == 1
    assert document["request"] == {
        "protocol": "tcp",
        "address": "127.0.0.1",
        "port": 8080,
        "reuseaddr": False,
        "reuseport": False,
        "v6only": False,
        "uid": None,
        "device": None,
    }
    assert (document["bind"], document["listen"]) == ("EADDRINUSE", "EADDRINUSE")
    assert [
        (row["reuseaddr"], row["reuseport"], row["bind"], row["listen"])
        for row in document["matrix"]
    ] == [
        (False, False, "EADDRINUSE", "EADDRINUSE"),
        (True, False, "EADDRINUSE", "EADDRINUSE"),
        (False, True, "ok", "ok"),
        (True, True, "ok", "ok"),
    ]
    (blocker,) = document["blockers"]
    assert (blocker["state"], blocker["address"], blocker["port"]) == ("LISTEN", "127.0.0.1", 8080)
    assert blocker["reuseport"] is True
    assert [holder["pid"] for holder in blocker["holders"]] == [os.getpid()]
    assert set(blocker["rule"]) == {"id", "text"}
    assert set(document["cause"]) == {"id", "text"}
    assert all(set(fix) == {"text", "command", "in_netns"} for fix in document["fixes"])
    assert document["frees_in_s"] is None
    assert document["kernel"] == os.uname().release


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["70000"], "port 70000 is too large: type 0 to 65535"),
        (["localhost:nosuchservice"], "is neither a port nor a tcp service"),
        (["::1:80"], "needs brackets around its IPv6 address"),
        (["[::1]"], "has no port"),
        (["8080", "--uid", "nosuchuser"], "'nosuchuser' is neither a user nor a uid"),
        ([], "the following arguments are required"),
    ],
)
def test_what_cannot_be_asked_gets_one_line(arguments: list[str], message: str) -> None:
    done = why(*arguments)
    assert done.returncode == ExitCode.USAGE
    assert done.stdout == ""
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8080", ("0.0.0.0", 8080)),
        (":8080", ("0.0.0.0", 8080)),
        ("*:8080", ("0.0.0.0", 8080)),
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("[::1]:8080", ("::1", 8080)),
        ("[::]:http", ("::", 80)),
        ("localhost:http-alt", ("127.0.0.1", 8080)),
        ("[fe80::1%lo]:80", ("fe80::1%lo", 80)),
    ],
)
def test_endpoints(text: str, expected: tuple[str, int]) -> None:
    address, port = parse_endpoint(text, "tcp")
    assert (address.replace("::1", "127.0.0.1") if "localhost" in text else address) == expected[0]
    assert port == expected[1]


def test_a_wildcard_for_ipv6_alone() -> None:
    assert parse_endpoint("8080", "tcp", v6only=True) == ("::", 8080)


@pytest.mark.parametrize("text", ["", ":", "[", "[]:", "a b:c", "[::1]8080", "\x00:80"])
def test_no_endpoint(text: str) -> None:
    with pytest.raises(UsageError):
        parse_endpoint(text, "tcp")


@pytest.mark.parametrize(
    "request_",
    [
        BindRequest("tcp", "127.0.0.1", 80),
        BindRequest("udp", "::", 80, v6only=True, uid=33, device="eth0"),
        BindRequest("tcp", "0.0.0.0", 80, reuseaddr=True, reuseport=True),
    ],
)
def test_a_request_as_text(request_: BindRequest) -> None:
    assert parse_request(request_text(request_), request_.protocol, request_.port) == request_


@pytest.mark.parametrize("text", ["", "nowhere", "127.0.0.1 reuse", "::1 uid=x", "::1 device="])
def test_no_request(text: str) -> None:
    with pytest.raises(SockwatchError):
        parse_request(text, "tcp", 80)
