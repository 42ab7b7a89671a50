"""For each quirk of the bind test a trial that shows whether the running kernel has it.

Call them in a network namespace of their own.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from sockwatch.bind.kernels import Quirk
from sockwatch.bind.verdict import UDP_SLOT
from sockwatch.kernel.sock_diag.destroy import destroy
from sockwatch.kernel.surroundings import take_snapshot
from sockwatch.model import KernelError
from tests.bind.calls import attempt, set_flags
from tests.support import sock_diag
from tests.support.full_window import fill
from tests.support.waiting import wait_until

PORT: Final = 2000
NO_FLAGS: Final = (False, False)
REUSEADDR: Final = (True, False)
REUSEPORT: Final = (False, True)


class Trial:
    """The sockets of one trial, all on PORT."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def new(
        self,
        address: str,
        flags: tuple[bool, bool] = NO_FLAGS,
        *,
        v6only: bool = False,
        kind: socket.SocketKind = socket.SOCK_STREAM,
    ) -> tuple[socket.socket, str]:
        """A socket, and what the kernel answered to its bind()."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = self._stack.enter_context(socket.socket(family, kind))
        set_flags(sock, *flags)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        return sock, attempt(lambda: sock.bind((address, PORT)))

    def owner(
        self, address: str, flags: tuple[bool, bool] = NO_FLAGS, *, v6only: bool = False
    ) -> socket.socket:
        """One that has bound, as it must."""
        sock, answer = self.new(address, flags, v6only=v6only)
        assert answer == "ok", f"{address}: {answer}"
        return sock

    def succeeds(self, address: str, flags: tuple[bool, bool] = NO_FLAGS) -> bool:
        """Whether a bind() does; that socket is gone then."""
        sock, answer = self.new(address, flags)
        sock.close()
        assert answer in ("ok", "EADDRINUSE"), answer
        return answer == "ok"

    def connection(self, listener: socket.socket, target: str) -> tuple[socket.socket, ...]:
        """Both ends of a connection to it, the server's first."""
        listener.listen(1)
        client = self._stack.enter_context(socket.create_connection((target, PORT), timeout=10))
        return self._stack.enter_context(listener.accept()[0]), client


def _pairwise_overlap(trial: Trial) -> bool:
    listener = trial.owner("::")
    trial.connection(listener, "::1")
    listener.close()
    return not trial.succeeds("127.0.0.6")


def _leave_time_wait(trial: Trial) -> None:
    listener = trial.owner("127.0.0.1")
    for end in trial.connection(listener, "127.0.0.1"):
        end.close()
    listener.close()
    wait_until(lambda: any(row.mini and row.port == PORT for row in sock_diag.dump()))


def _time_wait_missed(trial: Trial) -> bool:
    _leave_time_wait(trial)
    return trial.succeeds("127.0.0.1")


def _dual_wildcard_missed(trial: Trial) -> bool:
    trial.owner("::")
    return trial.succeeds("127.0.0.1")


def _mapped_missed(trial: Trial) -> bool:
    trial.owner("::ffff:127.0.0.1")
    return trial.succeeds("127.0.0.1")


def _mapped_wildcard_missed(trial: Trial) -> bool:
    trial.owner("::ffff:0.0.0.0")
    return trial.succeeds("::ffff:127.0.0.1")


def _v6only_blocks_mapped(trial: Trial) -> bool:
    trial.owner("::", v6only=True)
    return not trial.succeeds("::ffff:127.0.0.1")


def _one_wildcard_list(trial: Trial) -> bool:
    """Which of the two is searched, the order decides in which they came."""
    missed = []
    for first, second in (("0.0.0.0", "::"), ("::", "0.0.0.0")):
        owners = [trial.owner(address, v6only=True) for address in (first, second)]
        missed.append(trial.succeeds("127.0.0.1"))
        for owner in owners:
            owner.close()
    return any(missed)


def _reuseaddr_memory(trial: Trial) -> bool:
    set_flags(trial.owner("127.0.0.1", REUSEADDR), *NO_FLAGS)
    return trial.succeeds("127.0.0.1", REUSEADDR)


def _reuseport_memory_of_any_address(trial: Trial) -> bool:
    first = trial.owner("127.0.0.1", REUSEPORT)
    trial.owner("127.0.0.2", REUSEPORT)  # the memory is of this address now
    set_flags(first, *NO_FLAGS)
    return trial.succeeds("127.0.0.1", REUSEPORT)


def _minis_stay(trial: Trial) -> bool:
    _leave_time_wait(trial)
    port = take_snapshot(PORT).port("tcp", PORT)
    assert port is not None
    assert port.connections is not None
    try:
        destroy(port.connections)
    except KernelError as error:
        return error.errno == errno.EOPNOTSUPP
    return False


def _orphans_stay(trial: Trial) -> bool:
    listener = trial.owner("127.0.0.1")
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
    server, _ = trial.connection(listener, "127.0.0.1")
    listener.close()
    fill(server)  # its FIN has to wait
    server.close()
    port = take_snapshot(PORT).port("tcp", PORT)
    assert port is not None
    assert port.connections is not None
    destroy(sock for sock in port.connections if sock.state == "FIN_WAIT1")
    return not trial.succeeds("127.0.0.1")


def _udp_wildcard_misses(trial: Trial) -> bool:
    for number in range(1, UDP_SLOT + 3):
        assert trial.new(f"127.0.0.{number}", kind=socket.SOCK_DGRAM)[1] == "ok"
    return trial.new("0.0.0.0", kind=socket.SOCK_DGRAM)[1] == "ok"


_TRIALS: Final[dict[Quirk, Callable[[Trial], bool]]] = {
    Quirk.PAIRWISE_OVERLAP: _pairwise_overlap,
    Quirk.TIME_WAIT_MISSED: _time_wait_missed,
    Quirk.DUAL_WILDCARD_MISSED: _dual_wildcard_missed,
    Quirk.MAPPED_MISSED: _mapped_missed,
    Quirk.MAPPED_WILDCARD_MISSED: _mapped_wildcard_missed,
    Quirk.V6ONLY_BLOCKS_MAPPED: _v6only_blocks_mapped,
    Quirk.ONE_WILDCARD_LIST: _one_wildcard_list,
    Quirk.REUSEADDR_MEMORY: _reuseaddr_memory,
    Quirk.REUSEPORT_MEMORY_OF_ANY_ADDRESS: _reuseport_memory_of_any_address,
    Quirk.MINIS_STAY: _minis_stay,
    Quirk.ORPHANS_STAY: _orphans_stay,
    Quirk.UDP_WILDCARD_MISSES: _udp_wildcard_misses,
}


def has_quirk(quirk: Quirk) -> bool:
    """Ask the running kernel."""
    with ExitStack() as stack:
        return _TRIALS[quirk](Trial(stack))
