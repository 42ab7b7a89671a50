"""A user in a bed who may run containers without being root."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from tests.support.beds import HTTPD, LIMITS, ROOT, Bed, Container
from tests.support.tools import need
from tests.support.waiting import wait_until

USER: Final = "ann"
UID: Final = 4321
HOME: Final = "/run/home"
# The files of /etc are hidden by copies, since the bed has no /etc of its own.
PREPARE: Final = f"""
set -e
mount --make-rshared /
mkdir -p {HOME} /run/user/{UID} /run/etc /sys/fs/cgroup/{USER}
cp /etc/passwd /etc/group /run/etc
echo {USER}:x:{UID}:{UID}::{HOME}:/bin/sh >>/run/etc/passwd
echo {USER}:x:{UID}: >>/run/etc/group
echo {USER}:500000:65536 >/run/etc/subuid
cp /run/etc/subuid /run/etc/subgid
for file in passwd group subuid subgid; do mount --bind /run/etc/$file /etc/$file; done
mknod /run/tun c 10 200
chmod 666 /run/tun
mount --bind /run/tun /dev/net/tun
cp -r {ROOT} {HOME}/root
chown -R {UID}:{UID} {HOME} /run/user/{UID} /sys/fs/cgroup/{USER}
chmod 700 /run/user/{UID}
"""
AS_USER: Final = f"""
echo $$ >/sys/fs/cgroup/{USER}/cgroup.procs
cd {HOME}
exec setpriv --reuid {UID} --regid {UID} --clear-groups env HOME={HOME} USER={USER} \
    XDG_RUNTIME_DIR=/run/user/{UID} "$@"
"""


class RootlessUser:
    """Runs commands in the bed as USER."""

    def __init__(self, within: Bed) -> None:
        for tool in ("newuidmap", "setpriv", "slirp4netns"):
            need(tool)
        for path in ("/dev/net/tun", "/etc/subuid", "/etc/subgid"):
            if not Path(path).exists():
                need(path)
        self._bed = within
        within.run("sh", "-c", PREPARE)

    def run(self, *command: str) -> str:
        """What it prints."""
        return self._bed.run("sh", "-c", AS_USER, "sh", *command).stdout

    def start(self, *command: str, log: Path | None = None) -> subprocess.Popen[bytes]:
        """Start it; it ends with the bed at the latest."""
        return self._bed.start("sh", "-c", AS_USER, "sh", *command, log=log)

    def podman(self, name: str, publish: str, port: int = 8080) -> Container:
        """A container of the user's with an HTTP server on that port."""
        for tool in ("podman", "runc", "conmon"):
            need(tool)
        identity = self.run(
            "podman", "--runtime", "runc", "--cgroup-manager=cgroupfs", "--storage-driver=vfs",
            "run", "-d", "--pids-limit=0", *LIMITS, "--ulimit", "nproc=4096:4096", "--name", name,
            "--stop-timeout", "0", "-p", publish, "--rootfs", f"{HOME}/root", *HTTPD, str(port),
        ).strip()  # fmt: skip
        return Container(identity, name, wait_until(_server))


def _server() -> int | None:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if folder.stat().st_uid == UID and (folder / "comm").read_text() == "busybox\n":
                    return int(folder.name)
            except OSError:
                continue
    return None
