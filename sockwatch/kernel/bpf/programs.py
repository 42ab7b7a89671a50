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
from sockwatch.kernel.bpf.snippets import (
    CTX,
    JIFFIES_64,
    ROW,
    SOCK,
    begin,
    copy_common,
    copy_inode,
    copy_pid,
    end,
    load_option,
    skip_other_ports,
    write,
)

if TYPE_CHECKING:
    from sockwatch.kernel.bpf.layout import Layout

_FD, _FILE = 16, 24  # more context words, of task_file
_MAP_LOOKUP, _MAP_UPDATE, _SOCK_FROM_FILE = 1, 2, 162
_TO_TCP_SOCK, _TO_TIME_WAIT_SOCK = 137, 138
_ONLY_IF_NEW = 1  # BPF_NOEXIST

_TCP_TIME_WAIT = 6
_PROTOCOLS = (socket.IPPROTO_TCP, socket.IPPROTO_UDP, 262)  # 262: MPTCP

_EXPIRES = CTX  # its register, once the context has been read
_TALLY = StackRecord(
    rows.TALLY_COLUMNS, rows.TALLY_STRUCT.size, rows.ROW_STRUCT.size + rows.TALLY_STRUCT.size
)


def tcp_program(layout: Layout, options_fd: int, groups_fd: int) -> Assembler:
    """A row for each socket; for mini sockets a count in a hash map, instead or as well.

    One that finds the map full, or whose timer is not to be had, is written as a row marked as
    such: nothing is lost.
    Raises BpfUnavailable (old-kernel).
    """
    code = Assembler()
    begin(code, layout, options_fd)
    code.jump_if(SOCK, "==", 0, "last")
    skip_other_ports(code, layout)
    code.load_field(R.R1, SOCK, layout.field("sock_common.skc_state"))
    code.jump_if(R.R1, "==", _TCP_TIME_WAIT, "wanted")
    load_option(code, R.R1, "wanted")
    code.compute(R.R1, "&", rows.WRITE_FULL)
    code.jump_if(R.R1, "==", 0, "done")
    code.label("wanted")
    copy_common(code, layout)
    code.get(R.R1, ROW, "state")
    code.jump_if(R.R1, "==", _TCP_TIME_WAIT, "mini")

    code.compute(R.R1, "=", SOCK)
    code.call(_TO_TCP_SOCK)
    code.jump_if(R.R0, "==", 0, "half-open")
    copy_inode(code, layout, R.R0)
    code.jump("write")
    code.label("half-open")
    # reqsk_alloc() of include/net/request_sock.h leaves the bits of an older request in place.
    code.put(ROW, "flags", 0)
    code.jump("write")

    code.label("mini")
    code.put(ROW, "mini", rows.SPILLED)
    code.put(ROW, "frees_in_jiffies", rows.NO_CLOCK)
    code.compute(R.R1, "=", SOCK)
    code.call(_TO_TIME_WAIT_SOCK)
    code.jump_if(R.R0, "==", 0, "write")
    # TIME_WAIT, or FIN_WAIT2 after close(): include/net/inet_timewait_sock.h
    code.load_field(R.R1, R.R0, layout.field("tcp_timewait_sock.tw_sk.tw_substate"))
    code.put(ROW, "state", R.R1)
    code.load_field(_EXPIRES, R.R0, layout.field("tcp_timewait_sock.tw_sk.tw_timer.expires"))
    code.put(ROW, "mini", rows.MINI)
    load_option(code, R.R1, "wanted")
    code.compute(R.R1, "&", rows.WRITE_MINI)
    code.jump_if(R.R1, "==", 0, "written")
    _put_time_left(code)
    write(code)
    code.jump_if(R.R0, "!=", 0, "done")  # the buffer is full: the kernel comes back with it
    code.label("written")
    load_option(code, R.R1, "wanted")
    code.compute(R.R1, "&", rows.COUNT_MINI)
    code.jump_if(R.R1, "==", 0, "done")
    _count(code, groups_fd)
    code.put(ROW, "mini", rows.SPILLED)
    _put_time_left(code)
    code.jump("write")
    end(code)
    return code


def udp_program(layout: Layout, options_fd: int) -> Assembler:
    """A row for each bound UDP socket. Raises BpfUnavailable (old-kernel)."""
    code = Assembler()
    begin(code, layout, options_fd)
    code.jump_if(SOCK, "==", 0, "last")
    skip_other_ports(code, layout)
    copy_common(code, layout)
    copy_inode(code, layout, SOCK)
    code.jump("write")
    end(code)
    return code


def task_file_program(layout: Layout, options_fd: int) -> Assembler:
    """A row for each (process, fd) of a TCP, UDP or MPTCP socket.

    Raises BpfUnavailable (old-kernel).
    """
    code = Assembler()
    begin(code, layout, options_fd)
    code.jump_if(SOCK, "==", 0, "last")  # the task, so far
    code.load(R.R1, CTX, _FILE, 8)
    code.jump_if(R.R1, "==", 0, "last")
    code.call(_SOCK_FROM_FILE)
    code.jump_if(R.R0, "==", 0, "done")
    code.load_field(SOCK, R.R0, layout.field("socket.sk"))
    code.jump_if(SOCK, "==", 0, "done")

    code.load_field(R.R1, SOCK, layout.field("sock_common.skc_family"))
    code.jump_if(R.R1, "==", socket.AF_INET, "inet")
    code.jump_if(R.R1, "!=", socket.AF_INET6, "done")
    code.label("inet")
    # A raw socket's "port" is its protocol number.
    code.load_field(R.R1, SOCK, layout.field("sock.sk_type"))
    code.jump_if(R.R1, "==", socket.SOCK_RAW, "done")
    code.load_field(R.R1, SOCK, layout.field("sock.sk_protocol"))
    for protocol in _PROTOCOLS:
        code.jump_if(R.R1, "==", protocol, "known")
    code.jump("done")
    code.label("known")
    skip_other_ports(code, layout)
    copy_common(code, layout)
    load_option(code, R.R1, "netns_inode")
    code.jump_if(R.R1, "==", 0, "here")
    code.get(R.R2, ROW, "netns_inode")
    code.jump_if(R.R1, "!=", R.R2, "done")
    code.label("here")

    code.load(R.R1, CTX, _FD, 4)
    code.put(ROW, "fd", R.R1)
    code.load(R.R1, CTX, _FILE, 8)
    code.jump_if(R.R1, "==", 0, "done")
    code.load_field(R.R1, R.R1, layout.field("file.f_inode"))
    code.load_field(R.R1, R.R1, layout.field("inode.i_ino"))
    code.put(ROW, "inode", R.R1)
    copy_pid(code, layout)
    code.jump("write")
    end(code)
    return code


def _put_time_left(code: Assembler) -> None:
    code.call(JIFFIES_64)
    code.compute(R.R1, "=", _EXPIRES)
    code.compute(R.R1, "-", R.R0)
    code.put(ROW, "frees_in_jiffies", R.R1)


def _count(code: Assembler, groups_fd: int) -> None:
    """Add a mini socket to its group, and be done with it; goes on where the map is full.

    The key is the first columns of its row.
    """
    code.map_pointer(R.R1, groups_fd)
    code.address_of(R.R2, ROW)
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
    code.address_of(R.R2, ROW)
    code.address_of(R.R3, _TALLY)
    code.compute(R.R4, "=", _ONLY_IF_NEW)
    code.call(_MAP_UPDATE)
    code.jump_if(R.R0, "==", 0, "done")
