"""Containers by the command line of their conmon, as podman starts it without a systemd."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockwatch.kernel.origin import of_cgroups, of_process
from sockwatch.kernel.origin.monitors import NAME_OPTIONS, option
from sockwatch.kernel.proc.context import with_context
from sockwatch.kernel.proc.processes import ProcessNames
from sockwatch.kernel.proc.services import read_cgroup
from sockwatch.model import Origin
from tests.support.privilege import needs_root
from tests.support.user import UID as SOMEBODY

ID = "a1" * 32
OTHER_ID = "b2" * 32


@contextmanager
def monitored(
    folder: Path, *arguments: str, uid: int = 0, is_setuid: bool = False
) -> Iterator[int]:
    """The pid of a child of a process that is called conmon and has these arguments."""
    folder.chmod(0o755)
    script = folder / ("script" if is_setuid else "conmon")
    script.write_text("#!/bin/sh\ncat\n:\n")
    script.chmod(0o755)
    if is_setuid:
        shutil.copy("/usr/bin/timeout", folder / "conmon")
        (folder / "conmon").chmod(0o4755)
        arguments = ("100", "./script", *arguments)
    pipe = subprocess.PIPE
    with subprocess.Popen(
        ["./conmon", *arguments], cwd=folder, user=uid, stdin=pipe, stdout=pipe
    ) as conmon:
        assert conmon.stdin is not None
        assert conmon.stdout is not None
        conmon.stdin.write(b"x\n")
        conmon.stdin.flush()
        conmon.stdout.readline()
        *_, cat = psutil.Process(conmon.pid).children(recursive=True)
        yield cat.pid
        conmon.stdin.close()


@needs_root
@pytest.mark.parametrize("uid", [0, SOMEBODY])
def test_a_container_without_a_cgroup(tmp_path: Path, uid: int) -> None:
    with monitored(tmp_path, "-c", ID, "-b", "/bundle", "-n", "web2", uid=uid) as pid:
        origin = of_process(pid)
        outer = of_cgroups({(cgroup := read_cgroup(pid)): pid})[cgroup]
        assert origin == Origin("podman", ID, "web2", "command line", uid or None, outer)
        process = ProcessNames().identify(pid)
        assert process is not None
        (found,) = with_context([process])
        assert found.origin == origin


@needs_root
def test_another_program_of_roots_that_a_user_starts(tmp_path: Path) -> None:
    words = ("-c", ID, "-n", "web2")
    with monitored(tmp_path, *words, uid=SOMEBODY, is_setuid=True) as pid:
        *_, conmon = (each for each in psutil.Process(pid).parents() if each.name() == "conmon")
        if conmon.uids().effective:
            pytest.skip("the folder is mounted nosuid")
        origin = of_process(pid)
    assert origin is None or not origin.container


@needs_root
@pytest.mark.parametrize(
    "arguments", [("-c", "a1a1a1a1a1a1", "-n", "web2"), ("-c", ID), ("-n", "web2"), ()]
)
def test_a_conmon_that_does_not_tell(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with monitored(tmp_path, *arguments) as pid:
        origin = of_process(pid)
        assert origin is None or not origin.container


@needs_root
@pytest.mark.parametrize(
    ("path", "uid", "name"),
    [
        (f"/machine.slice/libpod-{ID}.scope", 0, "web2"),
        (
            f"/user.slice/user-{SOMEBODY}.slice/user@{SOMEBODY}.service/libpod-{ID}",
            SOMEBODY,
            "web2",
        ),
        # Neither may speak for the other, nor for another container.
        (f"/machine.slice/libpod-{ID}.scope", SOMEBODY, None),
        (f"/user.slice/user-{SOMEBODY}.slice/user@{SOMEBODY}.service/libpod-{ID}", 0, None),
        (f"/machine.slice/libpod-{OTHER_ID}.scope", 0, None),
        (f"/system.slice/docker-{ID}.scope", 0, None),
    ],
)
def test_whom_a_conmon_may_name(tmp_path: Path, path: str, uid: int, name: str | None) -> None:
    cgroup = f"0::{path}\n".encode()
    with monitored(tmp_path, "--cid", ID, "--name=web2", uid=uid) as pid:
        origin = of_cgroups({cgroup: pid})[cgroup]
    assert origin is not None
    assert origin.name == name


@needs_root
def test_a_name_that_is_not_printable(tmp_path: Path) -> None:
    with monitored(tmp_path, "-c", ID, "-n", "\x1b]0;PWNED\x07") as pid:
        origin = of_process(pid)
    assert origin is not None
    assert origin.name == "?]0;PWNED?"


@given(st.lists(st.sampled_from([b"-n", b"--name", b"--name=a", b"=", b"", b"b", b"--name="])))
def test_options(arguments: list[bytes]) -> None:
    value = option(arguments, NAME_OPTIONS)
    assert value is None or value in [*arguments, b"a", b""]
