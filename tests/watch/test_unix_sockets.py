"""Unix sockets: a live one, a stale file, another file, an abstract name."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from sockwatch.bind.failure import ExplainedFailure
from sockwatch.watch import FailureWatch
from tests.support.child import idle_child
from tests.support.failing import bind, collect, forked, of_pid
from tests.support.netns import CLONE_NEWNET, unshare

pytestmark = pytest.mark.whole_host


def failed(
    watch: FailureWatch, name: str | bytes, directory: str | None = None
) -> ExplainedFailure:
    """A child fails to bind the name, in the directory, and ends."""

    def fail() -> None:
        if directory is not None:
            os.chdir(directory)
        bind(socket.AF_UNIX, name)

    (explained,) = collect(watch, of_pid(forked(fail)))
    assert (explained.failure.protocol, explained.failure.port) == ("unix", None)
    return explained


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_live_socket(watch: FailureWatch, tmp_path: Path, kind: int) -> None:
    path = str(tmp_path / "live.sock")
    with socket.socket(socket.AF_UNIX, kind) as owner:
        owner.bind(path)
        explained = failed(watch, path)
    assert explained.failure.address == path
    assert explained.explained
    assert explained.cause is not None
    assert explained.cause.id == "unix-live"
    (found,) = explained.unix_owners
    assert (found.state, [holder.pid for holder in found.holders]) == ("BOUND", [os.getpid()])


def test_a_listener_and_what_it_accepted(watch: FailureWatch, tmp_path: Path) -> None:
    path = str(tmp_path / "live.sock")
    with socket.socket(socket.AF_UNIX) as owner, socket.socket(socket.AF_UNIX) as client:
        owner.bind(path)
        owner.listen()
        client.connect(path)
        accepted = owner.accept()[0]
        with accepted:
            assert [each.state for each in failed(watch, path).unix_owners] == ["LISTEN"]
            owner.close()
            explained = failed(watch, path)
    assert explained.cause is not None
    assert explained.cause.id == "unix-stale"


def test_a_stale_file(watch: FailureWatch, tmp_path: Path) -> None:
    path = str(tmp_path / "stale.sock")
    with socket.socket(socket.AF_UNIX) as owner:
        owner.bind(path)
    explained = failed(watch, path)
    assert explained.explained
    assert explained.cause is not None
    assert explained.cause.id == "unix-stale"
    assert any(fix.command == f"rm {path}" for fix in explained.fixes)


@pytest.mark.parametrize(("kind", "make"), [("file", Path.touch), ("directory", Path.mkdir)])
def test_another_kind_of_file(watch: FailureWatch, tmp_path: Path, kind: str, make: object) -> None:
    path = tmp_path / "other"
    assert callable(make)
    make(path)
    explained = failed(watch, str(path))
    assert explained.cause is not None
    assert (explained.cause.id, explained.explained) == ("unix-other-file", True)
    assert explained.cause.text.endswith(kind)


def test_an_abstract_name(watch: FailureWatch) -> None:
    with socket.socket(socket.AF_UNIX) as owner:
        owner.bind(b"\0abstract\0name")
        explained = failed(watch, b"\0abstract\0name")
    assert explained.failure.address == "@abstract@name"
    assert explained.explained
    (found,) = explained.unix_owners
    assert [holder.pid for holder in found.holders] == [os.getpid()]


def test_the_longest_path(watch: FailureWatch) -> None:
    name = b"\0" + b"x" * 107
    with socket.socket(socket.AF_UNIX) as owner:
        owner.bind(name)
        explained = failed(watch, name)
    assert explained.failure.unix is not None
    assert explained.failure.unix.raw == name
    assert explained.explained


def test_a_relative_path(watch: FailureWatch, tmp_path: Path) -> None:
    """From the directory of the process while it lives; unknown afterwards."""
    (tmp_path / "here.sock").touch()
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        with pytest.raises(OSError, match="in use"):
            bind(socket.AF_UNIX, "here.sock")
        (explained,) = collect(watch, of_pid(os.getpid()))
    finally:
        os.chdir(before)
    assert explained.explained
    gone = failed(watch, "here.sock", str(tmp_path))
    assert not gone.explained
    assert "unix-path-unseen" in {gap.code for gap in gone.gaps}


def test_a_server_of_another_network_namespace(watch: FailureWatch, tmp_path: Path) -> None:
    """It is not in our table of unix sockets, and alive all the same."""
    path = str(tmp_path / "live.sock")
    sockets: list[socket.socket] = []

    def serve() -> None:
        unshare(CLONE_NEWNET)
        sockets.append(socket.socket(socket.AF_UNIX))
        sockets[0].bind(path)
        sockets[0].listen()

    with idle_child(serve) as pid:
        explained = failed(watch, path)
    assert explained.cause is not None
    assert explained.cause.id == "unix-live"
    assert [holder.pid for holder in explained.unix_owners[0].holders] == [pid]
    assert not any((fix.command or "").startswith("rm ") for fix in explained.fixes)
