"""Which service a cgroup is, in whose manager, and which process is its main one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sockwatch.kernel.proc.services import MOST_FOLDERS, cgroup_folder, main_pid, service_of
from tests.support.privilege import REAL_ROOT
from tests.support.waiting import wait_until

CONTAINER = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("path", "name", "manager_uid"),
    [
        ("/system.slice/nginx.service", "nginx.service", None),
        ("/system.slice/system-pg.slice/pg@15.service", "pg@15.service", None),
        ("/system.slice/web.service/worker.scope", "web.service", None),
        ("/system.slice/web.service/sshd.service", "web.service", None),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/a.service", "a.service", 1000),
    ],
)
def test_a_service(path: str, name: str, manager_uid: int | None) -> None:
    found = service_of(path)
    assert found is not None
    assert found[:2] == (name, manager_uid)
    assert path.startswith(found.path)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/system.slice",
        "/init.scope",
        "/nginx.service",
        "/user.slice/user-1000.slice/session-3.scope",
        "/user.slice/user-1000.slice/user@1000.service",
        "/user.slice/user-1000.slice/user@0.service/app.slice/sshd.service",
        "/user.slice/user-1000.slice/x.service/app.slice/sshd.service",
        "/lxc.payload.c1/system.slice/nginx.service",
        "/lxc/101/ns/system.slice/nginx.service",
        "/machine.slice/machine-web.scope/payload/system.slice/nginx.service",
        f"/system.slice/docker-{CONTAINER}.scope/system.slice/nginx.service",
        "/system.slice/x;reboot;.service",
        "/system.slice/-x y.service",
        "/kubepods.slice/kubepods-pod1.slice/cri-containerd-1.scope/system.slice/a.service",
    ],
)
def test_what_no_manager_of_ours_made(path: str) -> None:
    assert service_of(path) is None


def test_a_cgroup_outside_our_namespace_has_no_folder() -> None:
    assert cgroup_folder(b"0::/../system.slice/ssh.service\n") is None
    assert cgroup_folder(b"0::/\n") is None
    assert cgroup_folder(b"") is None


@pytest.fixture
def sleepers() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes = [subprocess.Popen(["sleep", "60"]) for _ in range(3)]
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def test_the_main_process_is_the_oldest(
    tmp_path: Path, sleepers: list[subprocess.Popen[bytes]]
) -> None:
    oldest, second, third = (str(process.pid) for process in sleepers)
    (tmp_path / "cgroup.procs").write_text(f"{third}\n0\n")
    (tmp_path / "delegated").mkdir()
    (tmp_path / "delegated" / "cgroup.procs").write_text(f"{second}\n{oldest}\n")
    assert main_pid(str(tmp_path)) == int(oldest)


def test_too_many_processes_or_none_at_all(tmp_path: Path) -> None:
    assert main_pid(str(tmp_path)) is None
    (tmp_path / "cgroup.procs").write_text("")
    assert main_pid(str(tmp_path)) is None
    (tmp_path / "cgroup.procs").write_text(f"{os.getpid()}\n" * 5000)
    assert main_pid(str(tmp_path)) is None
    (tmp_path / "cgroup.procs").write_text(f"{os.getpid()}\n")
    assert main_pid(str(tmp_path)) == os.getpid()
    for number in range(MOST_FOLDERS):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "cgroup.procs").write_text("")
    assert main_pid(str(tmp_path)) is None


@pytest.mark.skipif(not REAL_ROOT, reason="only root may make a cgroup")
def test_a_real_cgroup() -> None:
    found = cgroup_folder(f"0::/sockwatch-test-{os.getpid()}.service\n".encode())
    if found is None:
        pytest.skip("cgroup v2 is not mounted here")
    folder = Path(found[1])
    folder.mkdir()
    try:
        with subprocess.Popen(["sleep", "60"]) as process:
            (folder / "cgroup.procs").write_text(str(process.pid))
            assert cgroup_folder(Path(f"/proc/{process.pid}/cgroup").read_bytes()) == found
            assert main_pid(str(folder)) == process.pid
            process.kill()
    finally:
        folder.rmdir()


@pytest.mark.skipif(not REAL_ROOT, reason="only root may make a cgroup")
def test_a_real_cgroup_with_very_many_processes() -> None:
    found = cgroup_folder(f"0::/sockwatch-test-{os.getpid()}-many.service\n".encode())
    if found is None:
        pytest.skip("cgroup v2 is not mounted here")
    folder = Path(found[1])
    folder.mkdir()
    code = (
        "import os, sys\n"
        "def wait(): os.read(0, 1); os._exit(0)\n"
        "for _ in range(900): os.fork() or wait()\n"
        "print(flush=True); wait()"
    )
    pipe = subprocess.PIPE
    try:
        with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            (folder / "cgroup.procs").write_text(str(process.pid))
            process.stdout.readline()
            assert main_pid(str(folder)) is None
            process.stdin.close()
        wait_until(lambda: not (folder / "cgroup.procs").read_text())
    finally:
        folder.rmdir()
