"""`sockwatch run` where something is missing: no bind() of the program fails or hangs for that."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from sockwatch.cli.exit_codes import ExitCode
from tests.support.privilege import needs_root
from tests.support.run import SOCKWATCH, command, run_words, server
from tests.support.tools import need
from tests.support.user import run_as_user

SECCOMP = ["--by", "seccomp"]
WAYS = ["seccomp", "bpf"]
SERVES = "8080 serves\n"


def in_mounts(prepare: str, words: list[str]) -> subprocess.CompletedProcess[str]:
    """Run the words in a mount namespace of their own, which `prepare` has changed."""
    return run_words(["unshare", "-m", "sh", "-c", f"{prepare} && exec {shlex.join(words)}"])


@pytest.mark.parametrize("most", [5, 7, 8, 10])
@pytest.mark.parametrize("verb", [["run", *SECCOMP], ["hold", "127.0.0.1:8080"]])
def test_few_files(verb: list[str], most: int, netns: None) -> None:
    """It is refused before it starts, or it serves."""
    need("prlimit")
    limit = ["prlimit", f"--nofile={most}"]
    done = run_words([*limit, *SOCKWATCH, *verb, "--", *server(8080)])
    assert (done.returncode, done.stdout) in ((0, SERVES), (ExitCode.UNKNOWN, ""))
    assert "this is a bug" not in done.stderr
    if done.returncode:
        assert "more files" in done.stderr or "Too many open files" in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("most", range(1, 4))
def test_few_processes(most: int, netns: None) -> None:
    """The limit counts all of a user's processes; nobody else has this user."""
    need("prlimit")
    words = ["prlimit", f"--nproc={most}", *command(SECCOMP, server(8080))]
    done = run_as_user(words, 12_346)
    assert (done.returncode, done.stdout) in ((0, SERVES), (ExitCode.UNKNOWN, ""))
    assert "this is a bug" not in done.stderr


@needs_root
@pytest.mark.parametrize("way", WAYS)
def test_no_dev_null(way: str, netns: None) -> None:
    done = in_mounts("mount -t tmpfs none /dev", command(["--by", way], server(8080)))
    assert (done.returncode, done.stdout) == (0, SERVES)


@needs_root
@pytest.mark.parametrize("way", WAYS)
def test_no_proc(way: str, netns: None) -> None:
    done = in_mounts("umount -l /proc", command(["--by", way], server(8080)))
    assert (done.returncode, done.stdout) == (ExitCode.UNKNOWN, "")
    assert done.stderr == "sockwatch: /proc is not mounted; type mount -t proc proc /proc\n"
