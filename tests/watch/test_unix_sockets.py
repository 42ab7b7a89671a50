"""Unix sockets: a live one, a stale file, another file, an abstract name."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sockwatch.bind.failure import ExplainedFailure
from sockwatch.watch import FailureWatch
from tests.support.child import idle_child
from tests.support.failing import bind, collect, forked, of_pid
from tests.support.libc import check, libc
from tests.support.netns import CLONE_NEWNET, CLONE_NEWNS, unshare

MS_REC_PRIVATE = 0x44000


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


def failed_and_alive(
    watch: FailureWatch,
    name: str | bytes,
    before: Callable[[], object],
    after: Callable[[], object] = lambda: None,
) -> ExplainedFailure:
    """A child fails to bind the name, and lives on while it is looked at."""

    def fail() -> None:
        before()
        with contextlib.suppress(OSError):
            bind(socket.AF_UNIX, name)
        after()

    with idle_child(fail) as pid:
        (explained,) = collect(watch, of_pid(pid))
    return explained


def leave_behind(path: Path | bytes) -> None:
    """A stale socket file."""
    with socket.socket(socket.AF_UNIX) as owner:
        owner.bind(os.fsencode(path))


def removals(explained: ExplainedFailure) -> list[str]:
    """Its commands that remove something."""
    commands = [fix.command or "" for fix in explained.fixes]
    return [command for command in commands if "rm " in command]


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
    explained = failed_and_alive(watch, "here.sock", lambda: os.chdir(tmp_path))
    assert explained.explained
    assert [fix.command for fix in explained.fixes] == [f"ls -ld {tmp_path}/here.sock"]
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


def test_the_command_removes_the_file(watch: FailureWatch, tmp_path: Path) -> None:
    """By its absolute name, whatever name the program has for it, and wherever it is typed."""
    folder = tmp_path / "it's a folder"
    folder.mkdir()
    for name in ("app.sock", "../it's a folder/app.sock", "/proc/self/cwd/app.sock"):
        leave_behind(folder / "app.sock")
        explained = failed_and_alive(watch, name, lambda: os.chdir(folder))
        (command,) = removals(explained)
        subprocess.run(["sh", "-c", command], check=True, cwd="/")
        assert not (folder / "app.sock").exists()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose name fits twice into a unix socket's."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def private_mount(path: Path) -> None:
    """A stale socket of that name on a file system that only this process has."""
    unshare(CLONE_NEWNS)
    check(libc.mount(None, b"/", None, MS_REC_PRIVATE, None))
    check(libc.mount(b"none", os.fsencode(path.parent), b"tmpfs", 0, None))
    leave_behind(path)


def test_a_file_of_another_mount_namespace(watch: FailureWatch, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    leave_behind(path)
    alive = failed_and_alive(watch, str(path), lambda: private_mount(path))
    assert alive.cause is not None
    assert alive.cause.id == "unix-stale"
    assert removals(alive) == []

    def fail() -> None:
        private_mount(path)
        bind(socket.AF_UNIX, str(path))

    (gone,) = collect(watch, of_pid(forked(fail)))
    assert gone.cause is None
    assert "unix-path-unseen" in {gap.code for gap in gone.gaps}


def test_a_file_of_another_root_directory(watch: FailureWatch, short_path: Path) -> None:
    """The same name is one file for the process, another one for us."""
    inside = short_path / str(short_path)[1:]
    inside.mkdir(parents=True)
    for folder in (short_path, inside):
        leave_behind(folder / "app.sock")
    name = str(short_path / "app.sock")
    alive = failed_and_alive(watch, name, lambda: os.chroot(short_path))
    assert alive.cause is not None
    assert removals(alive) == []

    def fail() -> None:
        os.chroot(short_path)
        bind(socket.AF_UNIX, name)

    (gone,) = collect(watch, of_pid(forked(fail)))
    assert gone.cause is None


def test_a_process_that_has_moved_since(watch: FailureWatch, tmp_path: Path) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        leave_behind(tmp_path / folder / "app.sock")
    explained = failed_and_alive(
        watch,
        "app.sock",
        lambda: os.chdir(tmp_path / "here"),
        lambda: os.chdir(tmp_path / "there"),
    )
    assert explained.cause is None
    assert "unix-path-unseen" in {gap.code for gap in explained.gaps}


@pytest.mark.parametrize("name", [b"a\nb", b"a\x01b", b"a\xffb", "a\u202eb".encode(), b"\xc3\xa9"])
def test_a_name_that_is_not_shown_as_it_is(
    watch: FailureWatch, tmp_path: Path, name: bytes
) -> None:
    path = os.fsencode(tmp_path) + b"/" + name
    leave_behind(path)
    explained = failed(watch, path)
    assert explained.cause is not None
    assert explained.cause.id == "unix-stale"
    assert removals(explained) == []
