"""What there is in a place, and what has become of it.

Processes, sockets, sysctls, files, links, addresses, and the cgroup of the place.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

from tests.stage import cgroups
from tests.stage.places import FOLDER

Seen = dict[str, str]


def see() -> Seen:
    """Everything in this place that a command could touch: its name, and its state."""
    cgroup = {} if (state := cgroups.state()) is None else {"cgroup": state}
    return {**_processes(), **_sockets(), **_sysctls(), **_files(), **_network(), **cgroup}


def changes(before: Seen, after: Seen) -> list[str]:
    """A line for each thing that has gone, come or changed."""
    return sorted(
        f"{name} {'gone' if name not in after else 'new' if name not in before else after[name]}"
        for name in before.keys() | after.keys()
        if before.get(name) != after.get(name)
    )


def _processes() -> Seen:
    """Those of this pid namespace alone: a place within looks after its own."""
    found = {}
    namespace = os.readlink("/proc/self/ns/pid")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/ns/pid") != namespace:
                continue
            name, fields = Path(f"/proc/{pid}/stat").read_text().split("(", 1)[1].rsplit(") ", 1)
        except (FileNotFoundError, PermissionError):  # gone, or not to be touched by us either
            continue
        state, *rest = fields.split()
        if state not in "ZX":
            found[f"process {pid} {name} started {rest[18]}"] = (
                f"stopped{_pending(pid)}" if state in "Tt" else "goes on"
            )
    return found


def _pending(pid: str) -> str:
    """The signals that a stopped process will see once it is resumed."""
    status = Path(f"/proc/{pid}/status").read_text()
    signals = int(re.findall(r"^ShdPnd:\s*(\w+)", status, re.MULTILINE)[0], 16)
    return "".join(f" {each.name}" for each in signal.Signals if signals >> each - 1 & 1)


def _sockets() -> Seen:
    text = subprocess.check_output(["ss", "-Hantuxe"], text=True)
    found = {}
    for line in text.splitlines():
        kind, state, _rx, _tx, local, peer, *_ = line.split()
        if kind.startswith("u_"):
            if local == "*":
                continue  # a pair within some program: no command can name it
            local, peer = f"{local}:{peer}", ""
        cookie = re.search(r"\bsk:(\w+)", line)
        found[f"socket {kind} {local} {peer} {cookie and cookie[1]}"] = state
    return found


def _sysctls() -> Seen:
    """Those of the namespace as a whole; of each device only whether it has IPv6."""
    off = Path("/proc/sys/net/ipv6/conf").glob("*/disable_ipv6")
    found = {f"sysctl {path}": path.read_text().strip() for path in off}
    for folder, folders, names in os.walk("/proc/sys/net"):
        folders[:] = sorted({*folders} - {"conf", "neigh"})
        for name in names:
            path = f"{folder}/{name}"
            try:
                found[f"sysctl {path}"] = Path(path).read_bytes().decode("latin-1").strip()
            except OSError:  # some can only be written
                continue
    return found


def _files() -> Seen:
    found = {}
    for folder, folders, names in os.walk(FOLDER):
        for name in (*folders, *names):
            status = os.lstat(f"{folder}/{name}")
            found[f"file {folder}/{name} {status.st_ino}"] = oct(status.st_mode)
    return found


def _network() -> Seen:
    """Links with their flags, and addresses with theirs."""
    found = {}
    for line in subprocess.check_output(["ip", "-o", "link"], text=True).splitlines():
        name, flags = line.split()[1:3]
        found[f"link {name.partition('@')[0].rstrip(':')}"] = flags
    for line in subprocess.check_output(["ip", "-o", "address"], text=True).splitlines():
        device, _, address, *rest = line.partition("\\")[0].split()[1:]
        found[f"address {device} {address}"] = " ".join(rest)
    return found
