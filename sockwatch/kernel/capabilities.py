"""Whether this thread may bind low ports: capabilities count by user namespace.

A network namespace belongs to the user namespace in which it was made, and a capability counts
there if it is held in that one or in one above it: ns_capable(), and cap_capable_helper() of
security/commoncap.c; user_namespaces(7).
"""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack
from typing import Final, NamedTuple

CAP_DAC_OVERRIDE: Final = 1
CAP_NET_BIND_SERVICE: Final = 10
NS_GET_USERNS, NS_GET_PARENT, NS_GET_OWNER_UID = 0xB701, 0xB702, 0xB704  # ioctl_ns(2)


class LowPorts(NamedTuple):
    """`may`: the thread has CAP_NET_BIND_SERVICE where it counts for its network namespace.

    `counts`: capabilities of its user namespace count there at all. None means unknown.
    """

    may: bool | None
    counts: bool | None


def low_ports() -> LowPorts:
    """Of this thread, in its network namespace."""
    has = _has_capability()
    try:
        with ExitStack() as stack:
            netns = stack.enter_context(open("/proc/thread-self/ns/net"))
            owner = fcntl.ioctl(netns, NS_GET_USERNS)
            stack.callback(os.close, owner)
            return LowPorts(True if _made_by_this_user(owner, stack) else has, True)
    except PermissionError:  # it belongs to a user namespace that is not ours, nor below
        return LowPorts(False, False)
    except OSError:
        return LowPorts(False if has is False else None, None)


def may_enter(netns: int) -> bool:
    """Whether this user has made the user namespace of the network namespace, or one above it.

    All capabilities count there then, for a process that enters the user namespace first: setns(2).
    """
    with ExitStack() as stack:
        try:
            owner = fcntl.ioctl(netns, NS_GET_USERNS)
            stack.callback(os.close, owner)
            return _made_by_this_user(owner, stack)
        except OSError:
            return False


def _has_capability() -> bool | None:
    try:
        with open("/proc/thread-self/status") as file:
            effective = next(line for line in file if line.startswith("CapEff:"))
    except (OSError, StopIteration):
        return None
    return bool(int(effective.split()[1], 16) >> CAP_NET_BIND_SERVICE & 1)


def _made_by_this_user(namespace: int, stack: ExitStack) -> bool:
    """Whether this user made the child of our user namespace that it lies in, and so may do all."""
    own = os.stat("/proc/thread-self/ns/user").st_ino
    while os.fstat(namespace).st_ino != own:
        parent = fcntl.ioctl(namespace, NS_GET_PARENT)
        stack.callback(os.close, parent)
        if os.fstat(parent).st_ino == own:
            uid = bytearray(4)
            fcntl.ioctl(namespace, NS_GET_OWNER_UID, uid)
            return int.from_bytes(uid, "little") == os.geteuid()
        namespace = parent
    return False
