"""The program for iter/task_file: who holds the sockets.

Context: ``bpf_iter__task_file`` of kernel/bpf/task_iter.c.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, NamedTuple

from sockwatch.kernel.bpf import rows
from sockwatch.kernel.bpf.assembler import Assembler, R, StackRecord
from sockwatch.kernel.bpf.helpers import MAP_LOOKUP, SOCK_FROM_FILE
from sockwatch.kernel.bpf.snippets import (
    CTX,
    ROW,
    SOCK,
    add_row,
    begin,
    copy_cookie,
    copy_key,
    copy_peer,
    copy_pid,
    end,
    jump_if_port_in,
    load_netns_inode,
    load_option,
    look_up_row,
    skip_other_ports,
)

if TYPE_CHECKING:
    from sockwatch.kernel.bpf.layout import Layout

_FD, _FILE = 16, 24  # words of the context
_PROTOCOLS = (socket.IPPROTO_TCP, socket.IPPROTO_UDP, 262)  # 262: MPTCP

_TALLY = StackRecord(
    rows.HOLDER_TALLY_COLUMNS,
    rows.HOLDER_TALLY_STRUCT.size,
    rows.ROW_STRUCT.size + rows.HOLDER_TALLY_STRUCT.size,
)


_OWN_PORT = StackRecord(
    rows.OWN_PORT_COLUMNS, rows.OWN_PORT_STRUCT.size, -_TALLY.start + rows.OWN_PORT_STRUCT.size
)


class FileMaps(NamedTuple):
    """The fds of the maps; `own_ports` has a bit for each port that is no client's.

    With `by_netns` it is a hash map instead, whose keys are those ports of every network namespace.
    """

    options: int
    counts: int
    own_ports: int
    by_netns: bool = False


def task_file_program(layout: Layout, maps: FileMaps) -> Assembler:
    """A row for each (process, fd) of a TCP, UDP or MPTCP socket; TCP connections may be counted.

    Raises BpfUnavailable (old-kernel).
    """
    code = Assembler()
    _find_socket(code, layout, maps)
    code.label("known")
    code.load(R.R2, CTX, _FD, 4)
    code.put(ROW, "fd", R.R2)
    copy_key(code, layout)
    code.load_field(R.R1, SOCK, layout.field("sock.sk_protocol"))
    code.jump_if(R.R1, "==", socket.IPPROTO_UDP, "udp")
    load_option(code, R.R1, "wanted")
    code.compute(R.R1, "&", rows.COUNT_HOLDERS)
    code.jump_if(R.R1, "==", 0, "row")
    code.load_field(R.R1, SOCK, layout.field("sock_common.skc_state"))
    for state in (rows.CLOSE, rows.LISTEN):
        code.jump_if(R.R1, "==", state, "row")
    _count(code, layout, maps)

    code.label("udp")
    code.put(ROW, "udp", 1)
    code.label("row")
    code.load_field(R.R1, SOCK, layout.field("sock.sk_uid.val"))
    code.put(ROW, "uid", R.R1)
    code.load(R.R1, CTX, _FILE, 8)
    code.jump_if(R.R1, "==", 0, "done")
    code.load_field(R.R1, R.R1, layout.field("file.f_inode"))
    code.load_field(R.R1, R.R1, layout.field("inode.i_ino"))
    code.put(ROW, "inode", R.R1)
    copy_pid(code, layout, "holder")
    code.label("spilled")
    copy_cookie(code, layout)
    code.jump("write")
    end(code)
    return code


def _find_socket(code: Assembler, layout: Layout, maps: FileMaps) -> None:
    """Jump to ``known`` with a socket of the wanted kind, in the wanted network namespace."""
    begin(code, layout, maps.options)
    code.jump_if(SOCK, "==", 0, "last")  # the task, so far
    code.load(R.R1, CTX, _FILE, 8)
    code.jump_if(R.R1, "==", 0, "last")
    code.call(SOCK_FROM_FILE)
    code.jump_if(R.R0, "==", 0, "done")
    code.load_field(SOCK, R.R0, layout.field("socket.sk"))
    code.jump_if(SOCK, "==", 0, "done")

    # First what lies in the first cache line of the socket.
    code.load_field(R.R1, SOCK, layout.field("sock_common.skc_family"))
    code.jump_if(R.R1, "==", socket.AF_INET, "inet")
    code.jump_if(R.R1, "!=", socket.AF_INET6, "done")
    code.label("inet")
    skip_other_ports(code, layout)
    load_netns_inode(code, layout, R.R2)
    code.put(ROW, "netns_inode", R.R2)
    load_option(code, R.R1, "netns_inode")
    code.jump_if(R.R1, "==", 0, "here")
    code.jump_if(R.R1, "!=", R.R2, "done")
    code.label("here")
    # A raw socket's "port" is its protocol number.
    code.load_field(R.R1, SOCK, layout.field("sock.sk_type"))
    code.jump_if(R.R1, "==", socket.SOCK_RAW, "done")
    code.load_field(R.R1, SOCK, layout.field("sock.sk_protocol"))
    for protocol in _PROTOCOLS:
        code.jump_if(R.R1, "==", protocol, "known")
    code.jump("done")


def _count(code: Assembler, layout: Layout, maps: FileMaps) -> None:
    """Add a connection to those of the process that are alike; goes on where the map is full.

    The key is the first columns of its row, which are those of tcp_program() and the pid.
    """
    code.get(R.R1, ROW, "port")
    code.jump_if(R.R1, "==", 0, "done")
    code.load_field(R.R1, SOCK, layout.field("sock.sk_uid.val"))
    code.put(ROW, "uid", R.R1)
    if maps.by_netns:
        _jump_if_own_in_its_netns(code, maps.own_ports)
    else:
        jump_if_port_in(code, layout, maps.own_ports, "own")
    code.put(ROW, "client", 1)
    code.put(ROW, "port", 0)
    copy_peer(code, layout)
    code.label("own")
    copy_pid(code, layout, "holder of a connection")
    look_up_row(code, maps.counts)
    code.jump_if(R.R0, "==", 0, "new")
    code.load(R.R1, R.R0, _TALLY.columns["fds"].offset, 8)
    code.compute(R.R1, "+", 1)
    code.store(R.R0, _TALLY.columns["fds"].offset, R.R1, 8)
    code.jump("done")
    code.label("new")
    code.put(_TALLY, "fds", 1)
    code.get(R.R1, ROW, "fd")
    code.put(_TALLY, "fd", R.R1)
    code.put(_TALLY, "spare", 0)
    add_row(code, maps.counts, _TALLY)
    code.jump_if(R.R0, "==", 0, "done")
    code.put(ROW, "spilled", 1)
    code.jump("spilled")


def _jump_if_own_in_its_netns(code: Assembler, own_ports: int) -> None:
    for column in ("netns_inode", "port"):
        code.get(R.R1, ROW, column)
        code.put(_OWN_PORT, column, R.R1)
    code.map_pointer(R.R1, own_ports)
    code.address_of(R.R2, _OWN_PORT)
    code.call(MAP_LOOKUP)
    code.jump_if(R.R0, "!=", 0, "own")
