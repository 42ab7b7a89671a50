"""The supervisor of the sandbox makes its namespaces and processes, and ends all of them.

It is the first process of a pid namespace, so that the kernel ends every other one with it, also
stopped ones and children of dead servers. Where there is no such namespace, servers die by their
parent-death signal and their children by the shutdown pipe. The supervisor exits when sockwatch
closes the control channel, for whatever reason.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import suppress
from typing import Any, Final

from sockwatch.kernel.libc import CLONE_NEWNET, CLONE_NEWPID
from sockwatch.lab import program, wire
from sockwatch.lab.namespaces import (
    adopt_orphans,
    die_with_parent,
    enter_own,
    name_process,
)
from sockwatch.readable import readable

NAMESPACES: Final = ("user", "net")  # in the order in which they are joined


def main() -> None:
    """Arguments: the control channel's fd, and ``own`` or ``host`` network."""
    control = socket.socket(fileno=int(sys.argv[1]))
    name_process("sockwatch-lab")
    users = os.stat("/proc/self/ns/user").st_ino
    own_pids = True
    try:
        if sys.argv[2] == "own":
            enter_own(CLONE_NEWNET | CLONE_NEWPID)
        else:
            try:
                enter_own(CLONE_NEWPID)
            except OSError:
                own_pids = False
    except OSError as error:
        wire.send(control, {"refused": error.strerror})
        return
    if own_pids:
        first_child = os.fork()
        if first_child:
            control.close()
            os.waitpid(first_child, 0)
            return
        die_with_parent()
    else:
        adopt_orphans()
    own_user = os.stat("/proc/self/ns/user").st_ino != users
    kinds = [kind for kind in NAMESPACES if kind == "net" or own_user]
    fds = [os.open(f"/proc/self/ns/{kind}", os.O_RDONLY) for kind in kinds]
    uids = os.geteuid() == 0 and not own_user and _maps_many_users()
    netns = os.stat("/proc/self/ns/net").st_ino
    wire.send(
        control, {"kept": kinds, "netns": netns, "own_pids": own_pids, "uids": uids}, tuple(fds)
    )
    for fd in fds:
        os.close(fd)
    Supervisor(control).run()


class Supervisor:
    """Carries out what sockwatch asks for: a method ``do_X`` for each command X.

    `_servers` has the pid of each process by the number that sockwatch gave it.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._servers: dict[int, int] = {}
        self._shutdown_pipe, _ = os.pipe()  # nobody writes: it is closed when we exit
        # The exit of a child wakes the loop.
        self._wake, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> None:
        """Serve the control channel until it is closed."""
        while True:
            waited: list[Any] = [self._control, self._wake]
            ready = readable(waited)
            if self._wake in ready:
                os.read(self._wake, 4096)
                self._reap()
            if self._control in ready:
                try:
                    command, _, fds = wire.receive(self._control)
                except OSError:
                    return
                if command is None:
                    return
                verb = command.pop("do")
                reply = getattr(self, f"do_{verb}")(**command, fds=fds)
                with suppress(OSError):
                    wire.send(self._control, {"done": True} | reply)

    def do_start(self, number: int, name: str, uid: int | None, fds: list[int]) -> dict[str, Any]:
        """Fork a server that serves the channel behind the fd."""
        pid = os.fork()
        if pid == 0:
            try:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                if uid is not None:
                    os.setgroups([])
                    os.setresgid(uid, uid, uid)
                    os.setresuid(uid, uid, uid)
                die_with_parent()
                program.run(fds[0], self._shutdown_pipe, name)
            finally:
                os._exit(1)
        os.close(fds[0])
        self._servers[number] = pid
        return {}

    def do_signal(self, number: int, signal_number: int, fds: list[int]) -> dict[str, Any]:
        """Signal a server, and after SIGSTOP or SIGKILL wait until it has stopped or exited.

        It is our child and not yet waited for, so its pid cannot be another process.
        """
        assert not fds
        pid = self._servers.get(number)
        if pid is None:
            return {"gone": True}
        os.kill(pid, signal_number)
        if signal_number == signal.SIGSTOP:
            os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        elif signal_number == signal.SIGKILL:
            os.waitpid(pid, 0)
            del self._servers[number]
        return {}

    def do_end_orphans(self, pids: list[int], fds: list[int]) -> dict[str, Any]:
        """Kill those of the servers' children that are ours now, since their parents are dead."""
        assert not fds
        ended = 0
        for pid in pids:
            with suppress(ChildProcessError):
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                ended += 1
        return {"count": ended}

    def _reap(self) -> None:
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for number, server_pid in list(self._servers.items()):
                if server_pid == pid:
                    del self._servers[number]
                    with suppress(OSError):
                        wire.send(self._control, {"ended": number})


def _maps_many_users() -> bool:
    with open("/proc/self/uid_map") as file:
        return sum(int(line.split()[2]) for line in file) > 1
