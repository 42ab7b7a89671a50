"""Our three programs: one for each kernel iterator.

The kernel calls them once a socket (or once an open file) and once more, with no object, at the
end of the run. That last call writes a closing record of family 0 that carries the kernel's clock:
a run without it was cut short.

Contexts: ``bpf_iter__tcp`` of net/ipv4/tcp_ipv4.c, ``bpf_iter__udp`` of net/ipv4/udp.c,
``bpf_iter__task_file`` of kernel/bpf/task_iter.c. Helper numbers: include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from sockwatch.kernel.bpf import rows
from sockwatch.kernel.bpf.assembler import Assembler, R, StackRecord

if TYPE_CHECKING:
    from sockwatch.kernel.bpf.layout import Layout

# Context words, each 8 bytes apart. The object is the socket, or the task.
_META, _OBJECT, _UID, _FD, _FILE = 0, 8, 16, 16, 24

_MAP_LOOKUP, _MAP_UPDATE, _SEQ_WRITE = 1, 2, 127
_TO_TCP_SOCK, _TO_TIME_WAIT_SOCK = 137, 138
_JIFFIES_64, _CURRENT_TASK, _SOCK_FROM_FILE = 118, 158, 162
_ONLY_IF_NEW = 1  # BPF_NOEXIST

_TCP_TIME_WAIT = 6
_PROTOCOLS = (socket.IPPROTO_TCP, socket.IPPROTO_UDP, 262)  # 262: MPTCP
_MAX_PID_LEVEL = 32  # MAX_PID_NS_LEVEL of include/linux/pid_namespace.h
_PIDTYPE_TGID = 1

_ROW = StackRecord(rows.ROW_COLUMNS, rows.ROW_STRUCT.size, rows.ROW_STRUCT.size)
_TALLY = StackRecord(
    rows.TALLY_COLUMNS, rows.TALLY_STRUCT.size, rows.ROW_STRUCT.size + rows.TALLY_STRUCT.size
)

# What the registers that survive calls hold.
_CTX = R.R6
_EXPIRES = R.R6  # once the context has been read
_SEQ = R.R7
_SOCK = R.R8
_OPTIONS = R.R9


def tcp_program(layout: Layout, options_fd: int, groups_fd: int) -> bytes:
    """A row for each socket, or for mini sockets a count in a hash map.

    A mini socket that finds the map full is written as a row: nothing is lost.
    Raises BpfUnavailable (old-kernel).
    """
    code = Assembler()
    _begin(code, layout, options_fd)
    code.jump_if(_SOCK, "==", 0, "last")
    _skip_other_ports(code, layout)
    code.load_field(R.R1, _SOCK, layout.field("sock_common.skc_state"))
    code.jump_if(R.R1, "==", _TCP_TIME_WAIT, "wanted")
    _load_option(code, R.R1, "wanted")
    code.compute(R.R1, "&", rows.WRITE_FULL)
    code.jump_if(R.R1, "==", 0, "done")
    code.label("wanted")
    _copy_common(code, layout)
    code.put(_ROW, "protocol", socket.IPPROTO_TCP)
    code.get(R.R1, _ROW, "state")
    code.jump_if(R.R1, "==", _TCP_TIME_WAIT, "mini")

    code.load(R.R1, _CTX, _UID, 4)
    code.put(_ROW, "uid", R.R1)
    code.compute(R.R1, "=", _SOCK)
    code.call(_TO_TCP_SOCK)
    code.jump_if(R.R0, "==", 0, "half-open")
    _copy_inode(code, layout, R.R0)
    code.jump("write")
    code.label("half-open")
    # reqsk_alloc() of include/net/request_sock.h leaves the bits of an older request in place.
    code.put(_ROW, "flags", 0)
    code.jump("write")

    code.label("mini")
    code.put(_ROW, "mini", 1)
    code.put(_ROW, "frees_in_jiffies", rows.NO_CLOCK)
    code.compute(R.R1, "=", _SOCK)
    code.call(_TO_TIME_WAIT_SOCK)
    code.jump_if(R.R0, "==", 0, "write")
    # TIME_WAIT, or FIN_WAIT2 after close(): include/net/inet_timewait_sock.h
    code.load_field(R.R1, R.R0, layout.field("tcp_timewait_sock.tw_sk.tw_substate"))
    code.put(_ROW, "state", R.R1)
    code.load_field(_EXPIRES, R.R0, layout.field("tcp_timewait_sock.tw_sk.tw_timer.expires"))
    _load_option(code, R.R1, "wanted")
    code.compute(R.R1, "&", rows.COUNT_MINI)
    code.jump_if(R.R1, "!=", 0, "count")
    code.label("spill")
    code.call(_JIFFIES_64)
    code.compute(_EXPIRES, "-", R.R0)
    code.put(_ROW, "frees_in_jiffies", _EXPIRES)
    code.jump("write")

    _count(code, groups_fd)
    _end(code)
    return code.assemble()


def udp_program(layout: Layout, options_fd: int) -> bytes:
    """A row for each bound UDP socket. Raises BpfUnavailable (old-kernel)."""
    code = Assembler()
    _begin(code, layout, options_fd)
    code.jump_if(_SOCK, "==", 0, "last")
    _skip_other_ports(code, layout)
    code.load(R.R1, _CTX, _UID, 4)
    code.put(_ROW, "uid", R.R1)
    _copy_common(code, layout)
    code.put(_ROW, "protocol", socket.IPPROTO_UDP)
    _copy_inode(code, layout, _SOCK)
    code.jump("write")
    _end(code)
    return code.assemble()


def task_file_program(layout: Layout, options_fd: int) -> bytes:
    """A row for each (process, fd) of a TCP, UDP or MPTCP socket.

    Raises BpfUnavailable (old-kernel).
    """
    code = Assembler()
    _begin(code, layout, options_fd)
    code.jump_if(_SOCK, "==", 0, "last")  # the task, so far
    code.load(R.R1, _CTX, _FILE, 8)
    code.jump_if(R.R1, "==", 0, "last")
    code.call(_SOCK_FROM_FILE)
    code.jump_if(R.R0, "==", 0, "done")
    code.load_field(_SOCK, R.R0, layout.field("socket.sk"))
    code.jump_if(_SOCK, "==", 0, "done")

    code.load_field(R.R1, _SOCK, layout.field("sock_common.skc_family"))
    code.jump_if(R.R1, "==", socket.AF_INET, "inet")
    code.jump_if(R.R1, "!=", socket.AF_INET6, "done")
    code.label("inet")
    # A raw socket's "port" is its protocol number.
    code.load_field(R.R1, _SOCK, layout.field("sock.sk_type"))
    code.jump_if(R.R1, "==", socket.SOCK_RAW, "done")
    code.load_field(R.R1, _SOCK, layout.field("sock.sk_protocol"))
    for protocol in _PROTOCOLS:
        code.jump_if(R.R1, "==", protocol, "known")
    code.jump("done")
    code.label("known")
    code.put(_ROW, "protocol", R.R1)
    _skip_other_ports(code, layout)
    _copy_common(code, layout)
    _load_option(code, R.R1, "netns_inode")
    code.jump_if(R.R1, "==", 0, "here")
    code.get(R.R2, _ROW, "netns_inode")
    code.jump_if(R.R1, "!=", R.R2, "done")
    code.label("here")

    code.load_field(R.R1, _SOCK, layout.field("sock.sk_uid.val"))
    code.put(_ROW, "uid", R.R1)
    code.load(R.R1, _CTX, _FD, 4)
    code.put(_ROW, "fd", R.R1)
    code.load(R.R1, _CTX, _FILE, 8)
    code.jump_if(R.R1, "==", 0, "done")
    code.load_field(R.R1, R.R1, layout.field("file.f_inode"))
    code.load_field(R.R1, R.R1, layout.field("inode.i_ino"))
    code.put(_ROW, "inode", R.R1)
    _copy_pid(code, layout)
    code.jump("write")
    _end(code)
    return code.assemble()


def pid_levels(layout: Layout) -> int:
    """How many nested PID namespaces task_file_program() can see through.

    Before 6.6 ``struct pid`` ends in an array of one, and the verifier refuses what lies behind.
    """
    if "pid.numbers" in layout.fields and (size := layout.field("pid.numbers").size):
        return max(1, size // _upid_bytes(layout))
    return _MAX_PID_LEVEL


def _upid_bytes(layout: Layout) -> int:
    last = layout.field("upid.ns")
    return last.offset + last.size


def _begin(code: Assembler, layout: Layout, options_fd: int) -> None:
    code.compute(_CTX, "=", R.R1)
    code.load(R.R1, _CTX, _META, 8)
    code.load_field(_SEQ, R.R1, layout.field("bpf_iter_meta.seq"))
    code.load(_SOCK, _CTX, _OBJECT, 8)
    code.map_value(_OPTIONS, options_fd)
    code.clear(_ROW)


def _load_option(code: Assembler, target: R, name: str) -> None:
    column = rows.OPTION_COLUMNS[name]
    code.load(target, _OPTIONS, column.offset, column.size)


def _skip_other_ports(code: Assembler, layout: Layout) -> None:
    _load_option(code, R.R1, "port")
    code.jump_if(R.R1, "==", 0, "port is wanted")
    code.load_field(R.R2, _SOCK, layout.field("sock_common.skc_num"))
    code.jump_if(R.R1, "!=", R.R2, "done")
    code.label("port is wanted")


def _copy_common(code: Assembler, layout: Layout) -> None:
    """What full, mini and request sockets share: ``struct sock_common``."""
    for name, member in (
        ("family", "skc_family"),
        ("state", "skc_state"),
        ("device", "skc_bound_dev_if"),
        ("port", "skc_num"),
        ("cookie", "skc_cookie"),
    ):
        code.load_field(R.R1, _SOCK, layout.field(f"sock_common.{member}"))
        code.put(_ROW, name, R.R1)
    code.load_field(R.R1, _SOCK, layout.field("sock_common.skc_dport"))
    code.swap_16(R.R1)
    code.put(_ROW, "peer_port", R.R1)

    code.load_field(R.R1, _SOCK, layout.field("sock_common.skc_reuse"))
    for member, shift in (
        ("skc_reuseport", rows.REUSEPORT_SHIFT),
        ("skc_ipv6only", rows.V6ONLY_SHIFT),
    ):
        code.load_field(R.R2, _SOCK, layout.field(f"sock_common.{member}"))
        code.compute(R.R2, "<<", shift)
        code.compute(R.R1, "|", R.R2)
    code.put(_ROW, "flags", R.R1)

    code.load_field(R.R1, _SOCK, layout.field("sock_common.skc_net.net"))
    code.load_field(R.R1, R.R1, layout.field("net.ns.inum"))
    code.put(_ROW, "netns_inode", R.R1)
    _copy_addresses(code, layout)


def _copy_addresses(code: Assembler, layout: Layout) -> None:
    pairs = (
        ("address", "skc_rcv_saddr", "skc_v6_rcv_saddr"),
        ("peer_address", "skc_daddr", "skc_v6_daddr"),
    )
    code.get(R.R1, _ROW, "family")
    code.jump_if(R.R1, "==", socket.AF_INET6, "ipv6")
    for name, ipv4, _ in pairs:
        code.load_field(R.R1, _SOCK, layout.field(f"sock_common.{ipv4}"))
        code.store(R.STACK, _ROW.start + _ROW.columns[name].offset, R.R1, 4)
    code.jump("addresses done")
    code.label("ipv6")
    for name, _, ipv6 in pairs:
        field = layout.fields.get(f"sock_common.{ipv6}")
        if field is None:  # a kernel built without IPv6
            continue
        for half in (0, 8):
            code.load(R.R1, _SOCK, field.offset + half, 8)
            code.store(R.STACK, _ROW.start + _ROW.columns[name].offset + half, R.R1, 8)
    code.label("addresses done")


def _copy_inode(code: Assembler, layout: Layout, sock: R) -> None:
    """The number of a socket's file. A NULL on the way reads as 0, without a fault."""
    code.load_field(R.R1, sock, layout.field("sock.sk_socket"))
    code.load_field(R.R1, R.R1, layout.field("socket.file"))
    code.load_field(R.R1, R.R1, layout.field("file.f_inode"))
    code.load_field(R.R1, R.R1, layout.field("inode.i_ino"))
    code.put(_ROW, "inode", R.R1)


def _copy_pid(code: Assembler, layout: Layout) -> None:
    """The process's number in our own PID namespace: ``task_tgid_vnr()`` of kernel/pid.c."""
    code.load(_CTX, _CTX, _OBJECT, 8)  # the context is not needed any more
    code.jump_if(_CTX, "==", 0, "done")
    code.call(_CURRENT_TASK)
    _load_tgid(code, layout, R.R1, R.R0)
    code.load_field(R.R1, R.R1, layout.field("pid.level"))
    _load_tgid(code, layout, R.R2, _CTX)
    # Offsets must be constants to the verifier, so each level has its own load.
    upid_bytes = _upid_bytes(layout)
    nr = layout.field("upid.nr")
    for level in range(pid_levels(layout)):
        code.jump_if(R.R1, "!=", level, f"not level {level}")
        offset = layout.field("pid.numbers").offset + level * upid_bytes + nr.offset
        code.load(R.R3, R.R2, offset, nr.size)
        code.jump("pid found")
        code.label(f"not level {level}")
    code.jump("done")
    code.label("pid found")
    code.jump_if(R.R3, "==", 0, "done")  # it has just gone
    code.put(_ROW, "pid", R.R3)


def _load_tgid(code: Assembler, layout: Layout, target: R, task: R) -> None:
    """Load the ``struct pid`` of a task's process."""
    code.load_field(target, task, layout.field("task_struct.signal"))
    code.load(target, target, layout.field("signal_struct.pids").offset + 8 * _PIDTYPE_TGID, 8)


def _count(code: Assembler, groups_fd: int) -> None:
    """Add a mini socket to its group. The key is the first columns of its row."""
    code.label("count")
    code.map_pointer(R.R1, groups_fd)
    code.address_of(R.R2, _ROW)
    code.call(_MAP_LOOKUP)
    code.jump_if(R.R0, "==", 0, "new group")
    count, first, last = (_TALLY.columns[n] for n in ("sockets", "first_expiry", "last_expiry"))
    code.load(R.R1, R.R0, count.offset, count.size)
    code.compute(R.R1, "+", 1)
    code.store(R.R0, count.offset, R.R1, count.size)
    code.load(R.R1, R.R0, first.offset, first.size)
    code.jump_if(R.R1, "s<=", _EXPIRES, "not the first")
    code.store(R.R0, first.offset, _EXPIRES, first.size)
    code.label("not the first")
    code.load(R.R1, R.R0, last.offset, last.size)
    code.jump_if(R.R1, "s>=", _EXPIRES, "done")
    code.store(R.R0, last.offset, _EXPIRES, last.size)
    code.jump("done")

    code.label("new group")
    code.put(_TALLY, "sockets", 1)
    code.put(_TALLY, "first_expiry", _EXPIRES)
    code.put(_TALLY, "last_expiry", _EXPIRES)
    code.map_pointer(R.R1, groups_fd)
    code.address_of(R.R2, _ROW)
    code.address_of(R.R3, _TALLY)
    code.compute(R.R4, "=", _ONLY_IF_NEW)
    code.call(_MAP_UPDATE)
    code.jump_if(R.R0, "!=", 0, "spill")
    code.jump("done")


def _end(code: Assembler) -> None:
    """Labels ``last`` (the closing record), ``write`` and ``done``."""
    code.label("last")
    code.call(_JIFFIES_64)
    code.put(_ROW, "frees_in_jiffies", R.R0)
    code.label("write")
    code.compute(R.R1, "=", _SEQ)
    code.address_of(R.R2, _ROW)
    code.compute(R.R3, "=", _ROW.size)
    code.call(_SEQ_WRITE)
    code.label("done")
    code.leave()
