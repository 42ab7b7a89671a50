"""An ordinary user looks into own rootless containers; rootless_cases.py has what is done there."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import CAN_MAKE_NETNS
from tests.kernel.netns.rootless_cases import CASES
from tests.support.child import become, idle_child
from tests.support.libc import check, libc
from tests.support.netns import CLONE_NEWNET, CLONE_NEWUSER, PR_SET_DUMPABLE, unshare
from tests.support.privilege import REAL_ROOT, needs_root
from tests.support.user import ROOT, UID, run_as_user

SUBORDINATE_UIDS = 100_000


@pytest.mark.skipif(not CAN_MAKE_NETNS, reason="may not make user namespaces")
@pytest.mark.parametrize("case", CASES)
def test_as_an_ordinary_user(case: str) -> None:
    command = [sys.executable, "-m", "tests.kernel.netns.rootless_cases", case]
    if REAL_ROOT:
        done = run_as_user(command)
    else:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@needs_root
def test_users_of_a_container() -> None:
    """As newuidmap(1) sets it up: root inside is its user, the others have numbers of their own."""

    def first_process() -> None:
        become(UID)
        libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # else root owns its files in /proc
        unshare(CLONE_NEWUSER | CLONE_NEWNET)

    with idle_child(first_process) as pid, ExitStack() as stack:
        for kind in ("uid", "gid"):
            Path(f"/proc/{pid}/{kind}_map").write_text(f"0 {UID} 1\n1 {SUBORDINATE_UIDS} 1000\n")

        def server(uid: int, port: int) -> Callable[[], None]:
            def prepare() -> None:
                for name, kind in (("user", CLONE_NEWUSER), ("net", CLONE_NEWNET)):
                    with open(f"/proc/{pid}/ns/{name}") as namespace:
                        check(libc.setns(namespace.fileno(), kind))
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
                libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
                servers.append(socket.create_server(("0.0.0.0", port)))

            return prepare

        servers: list[socket.socket] = []
        stack.enter_context(idle_child(server(0, 8080)))
        stack.enter_context(idle_child(server(33, 8081)))
        command = [sys.executable, "-m", "tests.kernel.netns.rootless_cases", "subordinate_users"]
        done = run_as_user([*command, str(pid), str(UID), str(SUBORDINATE_UIDS + 32)])
    assert done.returncode == 0, done.stderr
