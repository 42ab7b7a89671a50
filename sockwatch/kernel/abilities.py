"""What the kernel, and the rights of this process, let sockwatch do here. To ask binds nothing."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from sockwatch.kernel import libc
from sockwatch.kernel.host import BOUND_LISTED_SINCE, lists_bound_sockets
from sockwatch.model import SockwatchError

CAP_SYS_PTRACE: Final = 19
CAP_SYS_ADMIN: Final = 21
LISTEN: Final = 10  # include/net/tcp_states.h
# include/uapi/linux/seccomp.h
SECCOMP_GET_ACTION_AVAIL: Final = 2
SECCOMP_RET_USER_NOTIF: Final = 0x7FC00000
_SYS_SECCOMP: Final = {"x86_64": 317, "aarch64": 277}.get(os.uname().machine)


class Ability(NamedTuple):
    """`detail` is how far it goes, or why it is not there; empty if there is no more to say."""

    name: str
    is_there: bool
    detail: str = ""


def abilities() -> Iterator[Ability]:
    """Each in turn, asked when its turn comes: a seccomp filter may end the process that asks."""
    for name, ask in _QUESTIONS.items():
        try:
            yield Ability(name, is_there=True, detail=ask())
        except (SockwatchError, OSError) as error:
            remedy = getattr(error, "remedy", None)
            why = _reason(error)
            yield Ability(name, is_there=False, detail=f"{why}; {remedy}" if remedy else why)
        except Exception as error:  # noqa: BLE001 - who reads this reports a bug
            yield Ability(name, is_there=False, detail=f"{type(error).__name__}: {error}")


def _reason(error: SockwatchError | OSError) -> str:
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror


def _sock_diag() -> str:
    from sockwatch.kernel.sock_diag.dumps import walk  # noqa: PLC0415 - takes 0.1 s
    from sockwatch.kernel.sock_diag.row_decoder import RowDecoder  # noqa: PLC0415

    walk(RowDecoder("tcp", lambda _: None), 1 << LISTEN, None)
    return ""


def _bound_sockets() -> str:
    if not lists_bound_sockets():
        raise OSError(0, f"needs Linux {'.'.join(map(str, BOUND_LISTED_SINCE))}")
    return ""


def _bpf() -> str:
    from sockwatch.kernel.bpf.iterators import SocketIterators  # noqa: PLC0415 - takes 20 ms

    with SocketIterators() as iterators:
        return "; ".join(f"no {name}: {why}" for name, why in iterators.failures.items())


def _pidfd_getfd() -> str:
    from sockwatch.kernel.proc.pidfd import SYS_PIDFD_GETFD, open_pidfd  # noqa: PLC0415

    with open("/dev/null") as file, open_pidfd(os.getpid()) as own:
        os.close(libc.syscall(SYS_PIDFD_GETFD, own, file.fileno(), 0))
    return "" if _has(CAP_SYS_PTRACE) else "of processes that ptrace(2) lets this user read"


def _other_netns() -> str:
    if not _has(CAP_SYS_ADMIN):
        raise OSError(0, "needs CAP_SYS_ADMIN; only their tables in /proc/PID/net")
    return ""


def _listns() -> str:
    from sockwatch.kernel.netns.handles import list_ids  # noqa: PLC0415

    try:
        next(list_ids(), None)
    except OSError as error:
        if error.errno == errno.ENOSYS:
            raise OSError(0, "needs Linux 6.19") from error
        raise
    return ""


def _seccomp_notification() -> str:
    if _SYS_SECCOMP is None:
        raise OSError(0, f"not known on {os.uname().machine}")
    action = ctypes.byref(ctypes.c_uint32(SECCOMP_RET_USER_NOTIF))
    libc.syscall(_SYS_SECCOMP, SECCOMP_GET_ACTION_AVAIL, 0, action)
    return ""


def _has(capability: int) -> bool:
    with open("/proc/thread-self/status") as file:
        effective = next(line for line in file if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> capability & 1)


_QUESTIONS: Final[dict[str, Callable[[], str]]] = {
    "sock_diag": _sock_diag,
    "bound sockets": _bound_sockets,
    "BPF": _bpf,
    "pidfd_getfd": _pidfd_getfd,
    "other namespaces": _other_netns,
    "listns": _listns,
    "seccomp notification": _seccomp_notification,
}
