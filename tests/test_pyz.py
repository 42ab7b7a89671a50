"""The file that unpacks itself: where it does, and what it says where it cannot."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import sockwatch
from sockwatch.kernel import facts
from tests.release import pyz
from tests.release.pyz import build_pyz
from tests.support.privilege import needs_root

USAGE: Final = "usage: sockwatch PORT"
NOBODY: Final = 65534
UNPACKED: Final = "sockwatch-*"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """sockwatch without what it needs: enough for --help."""
    folder = tmp_path_factory.mktemp("tree")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(sockwatch.__file__).parent, folder / "sockwatch", ignore=ignored)
    return folder


@pytest.fixture(scope="module")
def file(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file."""
    return build_pyz(tree, tmp_path_factory.mktemp("file"))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder of ours alone."""
    tmp_path.chmod(0o700)
    return tmp_path / "place"


def command(file: Path) -> list[str]:
    return [sys.executable, str(file), "--help"]


def run(file: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(file), capture_output=True, text=True, check=False, timeout=60, cwd="/",
        env={"PATH": "/usr/bin:/bin"} | environment,
    )  # fmt: skip


def run_mounted(file: Path, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it as an ordinary user after the mounts of the script, which nobody else sees.

    /dev/shm is mounted noexec, and has the file: nobody may look into the folders of the tests.
    """
    user = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    python = Path(sys.executable).resolve()
    if python.is_relative_to("/root"):
        python = Path("/usr/bin/python3")
    shm = f"mount -t tmpfs -o noexec,mode=1777 none /dev/shm; cp {file} /dev/shm"
    script = f'{shm}\n{script}\nexec setpriv {" ".join(user)} {python} "$@"'
    return subprocess.run(
        ["unshare", "--mount", "sh", "-euc", script, "sh", f"/dev/shm/{file.name}", "--help"],
        capture_output=True, text=True, check=False, timeout=60, cwd="/",
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent"} | environment,
    )  # fmt: skip


def check_ran(done: subprocess.CompletedProcess[str]) -> None:
    assert done.stdout.startswith(USAGE), done.stderr
    assert done.returncode == 0


def check_refused(done: subprocess.CompletedProcess[str], *reasons: str) -> None:
    assert done.returncode == 3, done.stdout
    assert done.stderr.count("\n") == 1, done.stderr
    for reason in reasons:
        assert reason in done.stderr


def test_it_unpacks_once(file: Path, place: Path) -> None:
    first = run(file, SOCKWATCH_UNPACK_TO=str(place))
    check_ran(first)
    (target,) = place.glob(UNPACKED)
    assert first.stderr == f"sockwatch: unpacking to {target}, this once\n"
    assert list(place.iterdir()) == [target]
    second = run(file, SOCKWATCH_UNPACK_TO=str(place), PYTHONDONTWRITEBYTECODE="1")
    check_ran(second)
    assert second.stderr == ""
    assert list(target.rglob("*.pyc"))


def test_the_same_tree_makes_the_same_file(file: Path, tree: Path, tmp_path: Path) -> None:
    assert build_pyz(tree, tmp_path).read_bytes() == file.read_bytes()


def test_several_at_the_same_time(file: Path, place: Path) -> None:
    environment = {"SOCKWATCH_UNPACK_TO": str(place)}
    programs = [
        subprocess.Popen(
            command(file), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment,
        )
        for _ in range(4)
    ]  # fmt: skip
    answers = [program.communicate(timeout=60) for program in programs]
    for stdout, stderr in answers:
        assert stdout.startswith(USAGE), stderr
    assert len(list(place.iterdir())) == 1


def test_ctrl_c_while_it_unpacks(file: Path, place: Path) -> None:
    with subprocess.Popen(
        command(file), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={"PATH": "/usr/bin:/bin", "SOCKWATCH_UNPACK_TO": str(place)},
    ) as program:  # fmt: skip
        assert program.stderr is not None
        assert "unpacking to" in program.stderr.readline()
        program.send_signal(signal.SIGINT)
        assert program.stderr.read() == ""
    assert program.returncode == 130


def test_a_folder_that_others_can_write_to(file: Path, place: Path) -> None:
    place.mkdir()
    place.chmod(0o770)
    check_refused(run(file, SOCKWATCH_UNPACK_TO=str(place)), f"others can write to {place}")
    above = place / "above"
    above.mkdir()
    check_refused(run(file, SOCKWATCH_UNPACK_TO=str(above)), f"others can write to {place}")
    assert not list(above.iterdir())


def test_a_symbolic_link(file: Path, place: Path, tmp_path: Path) -> None:
    place.symlink_to(tmp_path)
    check_refused(run(file, SOCKWATCH_UNPACK_TO=str(place)), "it is a symbolic link")


@needs_root
def test_a_folder_of_another_user(file: Path, place: Path) -> None:
    place.mkdir()
    os.chown(place, NOBODY, NOBODY)
    check_refused(run(file, SOCKWATCH_UNPACK_TO=str(place)), "belongs to another user")


@needs_root
def test_root_does_not_ask_where_home_is(file: Path, place: Path) -> None:
    script = 'mount -t tmpfs none /var/cache; exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-euc", script, "sh", *command(file)],
        capture_output=True, text=True, check=False, timeout=60,
        env={"PATH": "/usr/bin:/bin", "HOME": str(place), "XDG_CACHE_HOME": str(place)},
    )  # fmt: skip
    check_ran(done)
    assert "unpacking to /var/cache/sockwatch/" in done.stderr
    assert not place.exists()


@needs_root
def test_a_read_only_home_and_a_tmp_that_runs_nothing(file: Path) -> None:
    """And then a folder from which files have been cleaned up."""
    mounts = (
        "mount -t tmpfs -o mode=1777 none /var/tmp\n"
        f"cd /var/tmp; mkdir sockwatch-{NOBODY}; chown {NOBODY}:{NOBODY} sockwatch-{NOBODY}"
    )
    check_ran(run_mounted(file, mounts))
    user = f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups"
    cleaned = (
        f'{mounts}\n{user} /usr/bin/python3 "$@" >/dev/null 2>&1\n'
        f"rm sockwatch-{NOBODY}/sockwatch-*/sockwatch/cli/dispatch.py"
    )
    done = run_mounted(file, cleaned)
    check_ran(done)
    assert "unpacking to /var/tmp" in done.stderr


@needs_root
def test_nowhere(file: Path) -> None:
    mounts = (f"mount -t tmpfs -o noexec,mode=1777 none {each}" for each in ("/tmp", "/var/tmp"))
    done = run_mounted(file, "\n".join(mounts))
    check_refused(done, "/var/tmp/sockwatch-65534: it is mounted noexec", "SOCKWATCH_UNPACK_TO")


def test_a_python_that_is_too_old(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyz, "oldest_python", lambda: (3, 38))
    file = build_pyz(tree, tmp_path)
    # One that is not what its name says, such as that of a version manager, is passed over.
    (tmp_path / "python3.39").symlink_to(sys.executable)
    done = run(file, PATH=str(tmp_path))
    check_refused(
        done, "needs Python 3.38 or newer", f"{sys.version_info.major}.", "brings its own"
    )


def test_another_machine(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyz, "MACHINE", "riscv128")
    check_refused(run(build_pyz(tree, tmp_path)), "this file is for riscv128-linux-gnu")


def test_another_c_library(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(sys.implementation, "_multiarch"):
        pytest.skip("this Python does not tell for which C library it is built")
    monkeypatch.setattr(pyz, "LIBC", "musl")
    check_refused(run(build_pyz(tree, tmp_path)), "-linux-musl")


@needs_root
def test_root_imports_nothing_of_pythonpath(file: Path, place: Path, tmp_path: Path) -> None:
    hostile = tmp_path / "hostile"
    hostile.mkdir()
    for name in ("built", "isolation", "shutil", "tempfile", "zipfile", "sockwatch", "argparse"):
        (hostile / f"{name}.py").write_text("raise SystemExit(77)")
    done = run(file, SOCKWATCH_UNPACK_TO=str(place), PYTHONPATH=str(hostile))
    check_ran(done)


def test_the_command_for_root_is_the_file(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [str(file)])
    assert facts.own_command() == (str(file),)
    copy = tmp_path / "copy.pyz"
    copy.touch()
    monkeypatch.setattr(sys, "argv", [str(copy)])
    assert facts.own_command() == (sys.executable, str(copy))
