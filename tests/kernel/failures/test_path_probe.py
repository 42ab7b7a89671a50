"""What stands at a path as another process sees it, and whether a socket is alive."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sockwatch.kernel.failures.path_probe import (
    PathProbe,
    PathStatus,
    SeenPath,
    _status,
    our_root,
)
from tests.support.child import idle_child
from tests.support.fuse import silent_mount
from tests.support.privilege import REAL_ROOT

pytestmark = pytest.mark.skipif(not REAL_ROOT, reason="needs root: chroot(2)")

CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
MS_REC_PRIVATE = 0x44000


def look(pid: int, path: Path | str) -> PathStatus | None:
    seen = SeenPath.of(pid, os.fsencode(path))
    return PathProbe().statuses([seen])[seen]


def unix_listener(path: Path, kind: int = socket.SOCK_STREAM) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, kind)
    sock.bind(str(path))
    if kind != socket.SOCK_DGRAM:
        sock.listen(1)
    return sock


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM])
def test_alive_and_dead(tmp_path: Path, kind: int) -> None:
    path = tmp_path / "app.sock"
    with unix_listener(path, kind) as server:
        alive = look(os.getpid(), path)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody has connected, nothing was sent
            server.recv(1) if kind == socket.SOCK_DGRAM else server.accept()
    dead = look(os.getpid(), path)
    assert alive is not None
    assert dead is not None
    assert (alive.errno, alive.is_alive, dead.errno, dead.is_alive) == (0, True, 0, False)
    assert (alive.inode, alive.device) == (path.stat().st_ino, path.stat().st_dev)
    assert stat.S_ISSOCK(alive.mode)


def test_a_full_backlog_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    with (
        unix_listener(path),
        socket.socket(socket.AF_UNIX) as first,
        socket.socket(socket.AF_UNIX) as second,
    ):
        first.connect(str(path))
        second.connect(str(path))
        status = look(os.getpid(), path)
    assert status is not None
    assert status.is_alive


def test_files_that_are_no_sockets(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    status = look(os.getpid(), file)
    missing = look(os.getpid(), tmp_path / "missing")
    below_file = look(os.getpid(), file / "x")
    assert status is not None
    assert (stat.S_ISREG(status.mode), status.is_alive) == (True, None)
    assert missing is not None
    assert below_file is not None
    assert (missing.errno, below_file.errno) == (errno.ENOENT, errno.ENOTDIR)


def test_many_in_one_go(tmp_path: Path) -> None:
    paths = [SeenPath.of(os.getpid(), os.fsencode(tmp_path / str(n))) for n in range(50)]
    statuses = PathProbe().statuses([*paths, *paths])
    assert list(statuses) == paths
    assert {status and status.errno for status in statuses.values()} == {errno.ENOENT}
    assert PathProbe().statuses([]) == {}


def in_folder(folder: Path) -> Callable[[], None]:
    return lambda: os.chdir(folder)


def test_a_relative_name(tmp_path: Path) -> None:
    with unix_listener(tmp_path / "app.sock"), idle_child(in_folder(tmp_path)) as pid:
        status = look(pid, "app.sock")
        assert status is not None
        assert status.is_alive


@pytest.mark.parametrize("name", ["/proc/self/cwd/app.sock", "/proc/thread-self/cwd//app.sock"])
def test_its_own_links_in_proc(tmp_path: Path, name: str) -> None:
    with unix_listener(tmp_path / "app.sock"), idle_child(in_folder(tmp_path)) as pid:
        status = look(pid, name)
        assert status is not None
        assert status.is_alive


def test_a_folder_behind_an_fd(tmp_path: Path) -> None:
    def open_as_9() -> None:
        os.dup2(os.open(tmp_path, os.O_PATH | os.O_DIRECTORY), 9)

    with unix_listener(tmp_path / "app.sock"), idle_child(open_as_9) as pid:
        status = look(pid, "/proc/self/fd/9/app.sock")
        assert status is not None
        assert status.is_alive


def test_symbolic_links_lead_where_they_lead_in_its_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "run").mkdir(parents=True)
    (root / "var").symlink_to("/run")
    with unix_listener(root / "run" / "app.sock"), idle_child(lambda: os.chroot(root)) as pid:
        status = look(pid, "/var/app.sock")
        outside = look(pid, "/var/../../../run/app.sock")
        assert status is not None
        assert status.is_alive
        assert outside == status


def test_a_mount_and_a_network_of_its_own(tmp_path: Path) -> None:
    """A file of the same name is on both sides; the one inside is alive, the one outside dead."""
    libc = ctypes.CDLL(None)

    def serve_inside() -> None:
        assert libc.unshare(CLONE_NEWNS | CLONE_NEWNET) == 0
        assert libc.mount(None, b"/", None, MS_REC_PRIVATE, None) == 0
        assert libc.mount(b"none", os.fsencode(tmp_path), b"tmpfs", 0, None) == 0
        kept.append(unix_listener(tmp_path / "app.sock"))

    kept: list[socket.socket] = []
    unix_listener(tmp_path / "app.sock").close()
    with idle_child(serve_inside) as pid:
        inside, outside = look(pid, tmp_path / "app.sock"), look(os.getpid(), tmp_path / "app.sock")
        assert inside is not None
        assert outside is not None
        assert (inside.is_alive, outside.is_alive) == (True, False)
        assert inside.inode != outside.inode or inside.device != outside.device


def test_a_mount_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sockwatch.kernel.failures.path_probe.LIMIT_S", 0.5)
    folder = tmp_path / "dead"
    folder.mkdir()
    stuck, missing = (
        SeenPath.of(os.getpid(), os.fsencode(path)) for path in (folder / "x", tmp_path / "y")
    )
    probe = PathProbe()
    with silent_mount(folder):
        found = probe.statuses([stuck, missing])
        assert found[stuck] is None
        assert found[missing] is not None
        assert found[missing] == look(os.getpid(), tmp_path / "y")
        probe.statuses([stuck])
        probe.statuses([stuck])
        started = time.monotonic()
        assert probe.statuses([stuck, missing]) == {stuck: None, missing: None}
        assert time.monotonic() - started < 0.5  # nobody was asked


def test_a_process_that_has_gone() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert look(process.pid, "/tmp") == PathStatus(errno.ENOENT)


def test_it_starts_from_the_directories_of_the_process(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "run").mkdir(parents=True)
    unix_listener(root / "run" / "app.sock").close()
    mine = look(os.getpid(), root / "run" / "app.sock")
    with idle_child(lambda: os.chroot(root)) as pid:
        its = look(pid, "/run/app.sock")
    assert mine is not None
    assert its is not None
    assert mine.root == our_root() != its.root
    assert (mine.is_here, its.is_here) == (True, False)
    assert mine.inode == its.inode


@pytest.mark.parametrize(
    ("file_system", "is_alive"), [("ext4", False), ("nfs4", None), ("fuse.sshfs", None)]
)
def test_a_file_that_other_hosts_share_is_not_called_dead(
    file_system: str, is_alive: bool | None
) -> None:
    line = f"0 {stat.S_IFSOCK} 5 6 {errno.ECONNREFUSED} 1 1 2 1 2 0 0 0 0 0 0 {file_system}"
    assert _status(line.encode()).is_alive is is_alive
