"""`sockwatch why` on real sockets: the answer, its exit code, and wrong endpoints."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sockwatch.bind import BindRequest
from sockwatch.cli import endpoint
from sockwatch.cli.command import UsageError
from sockwatch.cli.endpoint import Endpoint, parse_endpoints
from sockwatch.cli.exit_codes import ExitCode
from sockwatch.model import Protocol, SockwatchError
from sockwatch.view.request import parse_request, request_text
from tests.support.asked import texts_for_a_port
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


@pytest.mark.parametrize(
    ("address", "asked", "code"),
    [
        ("::1", "8080", ExitCode.NO),  # a server for both families would fail
        ("::1", "*:8080", ExitCode.NO),
        ("::1", "0.0.0.0:8080", ExitCode.YES),
        ("::1", ":::8080", ExitCode.NO),
        ("127.0.0.1", "8080", ExitCode.NO),
        ("127.0.0.1", "[::1]:8080", ExitCode.YES),
    ],
)
def test_a_port_alone_stands_for_both_wildcards(
    netns: None, address: str, asked: str, code: ExitCode
) -> None:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as sock:
        sock.bind((address, 8080))
        sock.listen()
        done, document = why(asked), read_document(why(asked, "--json").stdout, "why")
        both = document["dual_stack"]
        assert (done.returncode, both is not None) == (code, asked in ("8080", "*:8080"))
        if both is not None:
            assert (document["bind"], both["bind"]) == (
                "EADDRINUSE" if address == "127.0.0.1" else "ok",
                "EADDRINUSE",
            )
            assert "[::]" in done.stdout


def test_a_free_port(netns: None) -> None:
    done = why("8080")
    assert (done.returncode, attempt("0.0.0.0", 8080)) == (ExitCode.YES, "ok")
    nobody, answer, *elsewhere = done.stdout.splitlines()  # of other tests that run now
    assert all(line.startswith(("also in   ", "not seen  ", " ")) for line in elsewhere)
    assert nobody == "8080/tcp: nobody has it"
    assert answer == "bind      succeeds with any flags on 0.0.0.0 and [::]"


def test_a_taken_port(listener: socket.socket) -> None:
    done = why("8080", "--reuseaddr")
    assert done.returncode == ExitCode.NO
    assert attempt("0.0.0.0", 8080, socket.SO_REUSEADDR) == str(98)
    who, *_ = done.stdout.splitlines()
    assert who.startswith("8080/tcp is held by ")
    assert who.endswith(f"({os.getpid()})")
    assert "another   EADDRINUSE" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_flag_that_helps(listener: socket.socket) -> None:
    done = why("127.0.0.1:8080", "--reuseport")
    assert done.returncode == ExitCode.YES
    assert attempt("127.0.0.1", 8080, socket.SO_REUSEPORT) == "ok"


def test_json(listener: socket.socket) -> None:
    done = why("127.0.0.1:8080", "--json")
    assert done.returncode == ExitCode.NO
    document = read_document(done.stdout, "why")
    assert document["schema"] == 2
    assert document["request"] == {
        "protocol": "tcp",
        "address": "127.0.0.1",
        "port": 8080,
        "reuseaddr": False,
        "reuseport": False,
        "v6only": False,
        "freebind": False,
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
    assert document["restart"] == {"bind": "ok", "listen": "ok", "frees_in_s": None}
    (blocker,) = document["blockers"]
    assert (blocker["state"], blocker["address"], blocker["port"]) == ("LISTEN", "127.0.0.1", 8080)
    assert blocker["reuseport"] is True
    assert [holder["pid"] for holder in blocker["holders"]] == [os.getpid()]
    assert set(blocker["rule"]) == {"id", "text"}
    assert set(document["cause"]) == {"id", "text", "evidence"}
    assert all(
        set(fix) == {"text", "command", "in_netns", "step", "options"} for fix in document["fixes"]
    )
    assert document["frees_in_s"] is None
    assert document["kernel"] == os.uname().release


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["70000"], "port 70000 is too large: type 0 to 65535"),
        (["localhost:nosuchservice"], "is neither a port nor a service"),
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
    ("words", "expected"),
    [
        (["8080"], [("tcp", "0.0.0.0", 8080, "::")]),
        (["*:53/udp"], [("udp", "0.0.0.0", 53, "::")]),
        (["127.0.0.1:8080"], [("tcp", "127.0.0.1", 8080, None)]),
        (["[::]:http"], [("tcp", "::", 80, None)]),
        (["http://localhost:3000/"], [("tcp", "127.0.0.1", 3000, "::1")]),
        (["[fe80::1%lo]:80"], [("tcp", "fe80::1%lo", 80, None)]),
        (["80", "8080,80"], [("tcp", "0.0.0.0", 80, "::"), ("tcp", "0.0.0.0", 8080, "::")]),
        (["9-10"], [("tcp", "0.0.0.0", 9, "::"), ("tcp", "0.0.0.0", 10, "::")]),
    ],
)
def test_endpoints(words: list[str], expected: list[tuple[Protocol, str, int, str]]) -> None:
    assert parse_endpoints(words) == tuple(Endpoint(*each) for each in expected)


@pytest.mark.parametrize(("text", "address"), [("8080", "::"), ("localhost:8080", "::1")])
def test_endpoints_for_ipv6_alone(text: str, address: str) -> None:
    assert parse_endpoints([text], v6only=True) == (Endpoint("tcp", address, 8080),)


@pytest.mark.parametrize("text", ["", ":", "[", "[]:", "a b:c", "[::1]8080", "\x00:80", "1-101"])
def test_no_endpoint(text: str) -> None:
    with pytest.raises(UsageError):
        parse_endpoints([text])


def test_a_name_that_is_looked_up_for_ever() -> None:
    for_ever = threading.Event()

    def look_up(*_: object, **__: object) -> None:
        for_ever.wait()
        raise OSError

    with (
        patch.object(socket, "getaddrinfo", look_up),
        patch.object(endpoint, "LOOKUP_LIMIT_S", 0.01),
        pytest.raises(UsageError, match="was not found within"),
    ):
        parse_endpoints(["db.example:5432"])
    for_ever.set()


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


@given(texts_for_a_port(), st.sampled_from(["tcp", "udp", None]))
@example("8080\0", "tcp")
@example("\udcff", "tcp")
@example("\udcff:80", "tcp")
def test_any_text_is_an_endpoint_or_our_error(text: str, protocol: Protocol | None) -> None:
    with patch.object(socket, "getaddrinfo", side_effect=OSError):  # no names are looked up
        try:
            for found in parse_endpoints([text], protocol):
                BindRequest(found.protocol, found.address, found.port)
        except (SockwatchError, UsageError) as error:
            assert str(error).isprintable()  # noqa: PT017


def test_bytes_that_are_no_text_get_one_line() -> None:
    for text in (b"\xff", b"\xff:80", b"[\xff]:80"):
        done = why(os.fsdecode(text))
        assert done.returncode == ExitCode.USAGE
        assert done.stderr.count("\n") == 1
        assert "bug" not in done.stderr
