"""A machine of systemd-nspawn(1) in a bed: a systemd with units of the test, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.beds import bed
from tests.support.tools import need
from tests.support.waiting import wait_until

REPOSITORY: Final = Path(__file__).parents[2]
UID: Final = 1000  # of ann, who has a systemd of her own
PASSWD: Final = f"""\
root:x:0:0:root:/root:/bin/sh
ann:x:{UID}:{UID}:ann:/home/ann:/bin/sh
messagebus:x:101:101::/nonexistent:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
GROUP: Final = f"root:x:0:\nann:x:{UID}:\nmessagebus:x:101:\nnogroup:x:65534:\n"
PAM: Final = """\
auth required pam_permit.so
account required pam_permit.so
session required pam_permit.so
session optional pam_systemd.so
"""
FILES: Final = {
    "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    "etc/os-release": "ID=sockwatch\n",
    "etc/passwd": PASSWD,
    "etc/group": GROUP,
    "etc/nsswitch.conf": "passwd: files\ngroup: files\n",
    "etc/pam.d/login": PAM,
    "etc/pam.d/systemd-user": PAM,
}
SYSTEM_UNITS: Final = "etc/systemd/system"
USER_UNITS: Final = "etc/systemd/user"


@dataclass(frozen=True)
class Machine:
    """`leader` is its first process, as the host's pid namespace numbers it."""

    leader: int
    root: Path

    def run(
        self, *command: str, check: bool = True, uid: int = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run the command in it, as that user; `check` that it succeeds."""
        enter = ["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p", "-C"]
        as_user = ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups"]
        environment = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": f"/run/user/{uid}"}
        done = subprocess.run(
            [*enter, *(as_user if uid else []), *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=environment,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def sockwatch(self, *words: str, uid: int = 0) -> str:
        """What the sockwatch of this repository prints in it."""
        command = [sys.executable, "-m", "sockwatch", *words]
        done = self.run("env", f"PYTHONPATH={REPOSITORY}", *command, check=False, uid=uid)
        assert not done.stderr, done.stderr
        return done.stdout

    def systemctl(self, *words: str, uid: int = 0, check: bool = True) -> str:
        """Ask its systemd, or that of the user."""
        user = ["--user"] if uid else []
        return self.run("systemctl", *user, *words, uid=uid, check=check).stdout

    def pair(
        self,
        name: str,
        *lines: str,
        service: str | None = None,
        template: bool = False,
        uid: int = 0,
    ) -> None:
        """Start a socket unit with these lines, for a service or template that only sleeps."""
        folder = self.root / (USER_UNITS if uid else SYSTEM_UNITS)
        folder.mkdir(parents=True, exist_ok=True)
        other = [f"Service={service}"] if service else []
        (folder / f"{name}.socket").write_text("\n".join(("[Socket]", *lines, *other, "")))
        at = "@" if template else ""
        (folder / f"{name}{at}.service").write_text("[Service]\nExecStart=sleep 1000\n")
        self.systemctl("daemon-reload", uid=uid)
        self.systemctl("start", f"{name}.socket", uid=uid, check=False)


@contextmanager
def machine() -> Iterator[Machine]:
    """A machine that has come up, with nothing of the network but loopback."""
    for tool in ("systemd-nspawn", "setpriv"):
        need(tool)
    with bed() as inside:
        root = Path(f"/proc/{inside.pid}/root/run/machine")
        _make_root(root)
        nspawn = inside.start(
            # It wants pid 1 to be in a cgroup that its cgroup namespace shows.
            "unshare", "-p", "--mount-proc", "--kill-child",
            "env", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1",
            "systemd-nspawn", "-q", "--register=no", "--keep-unit", "-D", "/run/machine",
            *(f"--bind-ro={path}" for path in _needed()), "--private-network", "--boot",
            "systemd.show_status=0",
            log=root / "console",
        )  # fmt: skip
        with nspawn:
            try:
                booted = _booted(nspawn, root)
                # Its /root is closed, and the interpreter may be below it.
                above = {str(folder) for path in _needed() for folder in path.parents}
                booted.run("chmod", "a+x", *above, check=False)
                yield booted
            finally:
                nspawn.kill()


def _make_root(root: Path) -> None:
    for folder in ("etc/pam.d", "var", "run", "usr", "home/ann"):
        (root / folder).mkdir(parents=True)
    for link in ("bin", "sbin", "lib", "lib64"):
        (root / link).symlink_to(f"usr/{link}")
    for path, text in FILES.items():
        (root / path).write_text(text)
    os.chown(root / "home/ann", UID, UID)


def _needed() -> set[Path]:
    """What sockwatch runs from, and the programs of the host."""
    return {Path("/usr"), REPOSITORY, Path(sys.prefix), Path(sys.base_prefix)}


def _booted(unshared: subprocess.Popen[bytes], root: Path) -> Machine:

    def failed() -> str:
        return (root / "console").read_text(errors="replace")

    def up() -> Machine | None:
        assert unshared.poll() is None, failed()
        for nspawn in _children(unshared.pid):
            for pid in _children(nspawn):
                found = Machine(pid, root)
                state = found.run("systemctl", "is-system-running", check=False).stdout.strip()
                if state in ("running", "degraded"):
                    return found
        return None

    return wait_until(up, failed, pause_s=0.1)


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
