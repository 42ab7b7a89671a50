"""sockwatch --host, with a real sshd in a network namespace of the test's own."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sockwatch.cli.exit_codes import ExitCode
from sockwatch.cli.ssh import ssh_command
from tests.support.privilege import REAL_ROOT
from tests.support.tools import need
from tests.support.waiting import wait_until

SSHD = "/usr/sbin/sshd"
ROOT = Path(__file__).parents[2]
FAR = f"cd {shlex.quote(str(ROOT))} && {shlex.quote(sys.executable)} -m sockwatch"


def test_the_host_stands_behind_two_dashes() -> None:
    command = ssh_command("me@web-1", "sudo -n sockwatch", ("snapshot", "a b"))
    assert command[0] == "ssh"
    assert command[-3:] == ["--", "me@web-1", "sudo -n sockwatch snapshot 'a b'"]


@pytest.fixture
def etc_ssh(netns: None, tmp_path: Path) -> Iterator[Path]:
    """A folder to mount over /etc/ssh, by which ssh reaches a server of ours as ``web-1``."""
    if not REAL_ROOT:
        pytest.skip("needs root, to mount a folder over /etc/ssh")
    need("ssh")
    need("ssh-keygen")
    if shutil.which(SSHD) is None or not os.path.isdir("/etc/ssh"):
        pytest.skip("sshd is not installed")
    if os.path.exists("/root/.ssh/config"):
        pytest.skip("root has an ssh_config of its own, which counts before this one")
    for key in ("host", "me"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / key)]
        subprocess.run(make, check=True, stdin=subprocess.DEVNULL)
    os.makedirs("/run/sshd", exist_ok=True)
    public = (tmp_path / "host.pub").read_text()
    (tmp_path / "known").write_text(f"web-1 {public}")
    (tmp_path / "sshd_config").write_text(
        f"Port 2222\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nStrictModes no\nUsePAM no\n"
        f"AuthorizedKeysFile {tmp_path}/me.pub\nPidFile none\nPasswordAuthentication no\n"
        "PermitRootLogin yes\n"
    )
    (tmp_path / "ssh_config").write_text(
        f"Host web-1\nHostName 127.0.0.1\nHostKeyAlias web-1\nPort 2222\nUser root\n"
        f"IdentityFile {tmp_path}/me\nIdentitiesOnly yes\nUserKnownHostsFile {tmp_path}/known\n"
        "BatchMode yes\n"
    )
    log = tmp_path / "log"
    with log.open("w") as errors, subprocess.Popen(
        [SSHD, "-D", "-e", "-f", str(tmp_path / "sshd_config")], stderr=errors
    ) as server:  # fmt: skip
        try:
            wait_until(lambda: "listening" in log.read_text(), log.read_text, 0.02)
            yield tmp_path
        finally:
            server.terminate()


def with_etc_ssh(etc_ssh: Path, *arguments: str) -> list[str]:
    script = f'mount --bind {shlex.quote(str(etc_ssh))} /etc/ssh && exec "$@"'
    command = [sys.executable, "-m", "sockwatch", *arguments]
    return ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", *command]


def run(etc_ssh: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        with_etc_ssh(etc_ssh, *arguments), capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL, timeout=120, cwd=ROOT,
    )  # fmt: skip


def test_a_port_of_another_host(etc_ssh: Path) -> None:
    done = run(etc_ssh, "--host", "web-1", "--host-command", FAR, "2222")
    assert done.returncode == ExitCode.NO, done.stderr
    assert done.stdout.startswith("on web-1, 2222/tcp is held by sshd(")
    assert " in /" in done.stdout  # of one port the holder's folder is known
    assert done.stderr.startswith("sockwatch: on web-1, ")


def test_the_table_of_another_host(etc_ssh: Path) -> None:
    done = run(etc_ssh, "--host", "web-1", "--host-command", FAR, "ports", "2222")
    assert done.returncode == ExitCode.YES, done.stderr
    assert "sshd" in done.stdout


@pytest.mark.parametrize(
    ("host", "command", "message"),
    [
        ("web-1", "no-such-sockwatch", "--host-command says what starts it"),
        ("web-1", "echo sockwatch: no such luck >&2; false", "from web-1: no such luck"),
        ("nobody@web-1", FAR, "Permission denied"),
        ("web-1", "echo '{}';", "this is no document of sockwatch snapshot"),
        ("web-1", f"echo Welcome to web-1; {FAR}", "one line of JSON: 'Welcome to web-1'"),
        (
            "web-1",
            f"{FAR} snapshot | head -c 300; exit 4;",
            "cut off: its line has no end; web-1: ",
        ),
        ("web-1", f"{FAR} snapshot | head -c 300; kill -9 $PPID;", "cut off: its line has no end;"),
    ],
)
def test_refusals(etc_ssh: Path, host: str, command: str, message: str) -> None:
    done = run(etc_ssh, "--host", host, "--host-command", command, "ports")
    assert (done.returncode, done.stdout) == (ExitCode.UNKNOWN, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
