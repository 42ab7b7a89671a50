"""What our programs have in common, each as one function that emits it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from sockwatch.kernel.bpf import flags, rows
from sockwatch.kernel.bpf.assembler import Assembler, R, StackRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from sockwatch.kernel.bpf.btf import Field
    from sockwatch.kernel.bpf.layout import Layout

META, OBJECT = 0, 8  # the first context words; the object is the socket, or the task
_SEQ_WRITE, JIFFIES_64, _CURRENT_TASK = 127, 118, 158
_MAX_PID_LEVEL = 32  # MAX_PID_NS_LEVEL of include/linux/pid_namespace.h
PIDTYPE_TGID = 1

ROW = StackRecord(rows.ROW_COLUMNS, rows.ROW_STRUCT.size, rows.ROW_STRUCT.size)

# What the registers that survive calls hold.
CTX = R.R6
SEQ = R.R7
SOCK = R.R8
OPTIONS = R.R9


def pid_levels(layout: Layout) -> int:
    """How many nested PID namespaces task_file_program() can see through.

    Before 6.6 ``struct pid`` ends in an array of one, and the verifier refuses what lies behind.
    """
    if "pid.numbers" in layout.fields and (size := layout.field("pid.numbers").size):
        return max(1, size // upid_bytes(layout))
    return _MAX_PID_LEVEL


def upid_bytes(layout: Layout) -> int:
    """The size of ``struct upid``."""
    last = layout.field("upid.ns")
    return last.offset + last.size


def begin(code: Assembler, layout: Layout, options_fd: int) -> None:
    """Load the registers that survive calls, and clear the row."""
    code.compute(CTX, "=", R.R1)
    code.load(R.R1, CTX, META, 8)
    code.load_field(SEQ, R.R1, layout.field("bpf_iter_meta.seq"))
    code.load(SOCK, CTX, OBJECT, 8)
    code.map_value(OPTIONS, options_fd)
    code.clear(ROW)


def load_option(code: Assembler, target: R, name: str) -> None:
    """Load a column of the options map."""
    column = rows.OPTION_COLUMNS[name]
    code.load(target, OPTIONS, column.offset, column.size)


def skip_other_ports(code: Assembler, layout: Layout) -> None:
    """Jump to ``done`` unless the socket has the port of the options, or that is 0."""
    load_option(code, R.R1, "port")
    code.jump_if(R.R1, "==", 0, "port is wanted")
    code.load_field(R.R2, SOCK, layout.field("sock_common.skc_num"))
    code.jump_if(R.R1, "!=", R.R2, "done")
    code.label("port is wanted")


def copy_common(code: Assembler, layout: Layout) -> None:
    """What full, mini and request sockets share: ``struct sock_common``."""
    for name, member in (
        ("family", "skc_family"),
        ("state", "skc_state"),
        ("device", "skc_bound_dev_if"),
        ("port", "skc_num"),
        ("cookie", "skc_cookie"),
    ):
        code.load_field(R.R1, SOCK, layout.field(f"sock_common.{member}"))
        code.put(ROW, name, R.R1)
    put_flags(code, ROW, layout, lambda to, field: code.load_field(to, SOCK, field), into=R.R2)
    code.load_field(R.R1, SOCK, layout.field("sock_common.skc_net.net"))
    code.load_field(R.R1, R.R1, layout.field("net.ns.inum"))
    code.put(ROW, "netns_inode", R.R1)
    _copy_address(code, layout)


def put_flags(
    code: Assembler, record: StackRecord, layout: Layout, load: Callable[[R, Field], None], into: R
) -> None:
    """The flags byte of a socket, whose members `load` reads.

    r1 is lost, and so is `into`, which must survive a `load` into r1.
    """
    load(into, layout.field("sock_common.skc_reuse"))
    for member, shift in (
        ("skc_reuseport", flags.REUSEPORT_SHIFT),
        ("skc_ipv6only", flags.V6ONLY_SHIFT),
    ):
        load(R.R1, layout.field(f"sock_common.{member}"))
        code.compute(R.R1, "<<", shift)
        code.compute(into, "|", R.R1)
    code.put(record, "flags", into)


def _copy_address(code: Assembler, layout: Layout) -> None:
    start = ROW.start + ROW.columns["address"].offset
    code.get(R.R1, ROW, "family")
    code.jump_if(R.R1, "==", socket.AF_INET6, "ipv6")
    code.load_field(R.R1, SOCK, layout.field("sock_common.skc_rcv_saddr"))
    code.store(R.STACK, start, R.R1, 4)
    code.jump("address copied")
    code.label("ipv6")
    ipv6 = layout.fields.get("sock_common.skc_v6_rcv_saddr")  # or a kernel built without IPv6
    if ipv6 is not None:
        for half in (0, 8):
            code.load(R.R1, SOCK, ipv6.offset + half, 8)
            code.store(R.STACK, start + half, R.R1, 8)
    code.label("address copied")


def copy_inode(code: Assembler, layout: Layout, sock: R) -> None:
    """The number of a socket's file. A NULL on the way reads as 0, without a fault."""
    code.load_field(R.R1, sock, layout.field("sock.sk_socket"))
    code.load_field(R.R1, R.R1, layout.field("socket.file"))
    code.load_field(R.R1, R.R1, layout.field("file.f_inode"))
    code.load_field(R.R1, R.R1, layout.field("inode.i_ino"))
    code.put(ROW, "inode", R.R1)


def copy_pid(code: Assembler, layout: Layout) -> None:
    """The process's number in our own PID namespace: ``task_tgid_vnr()`` of kernel/pid.c."""
    code.load(CTX, CTX, OBJECT, 8)  # the context is not needed any more
    code.jump_if(CTX, "==", 0, "done")
    code.call(_CURRENT_TASK)
    _load_tgid(code, layout, R.R1, R.R0)
    code.load_field(R.R1, R.R1, layout.field("pid.level"))
    _load_tgid(code, layout, R.R2, CTX)
    # Offsets must be constants to the verifier, so each level has its own load.
    step = upid_bytes(layout)
    nr = layout.field("upid.nr")
    for level in range(pid_levels(layout)):
        code.jump_if(R.R1, "!=", level, f"not level {level}")
        offset = layout.field("pid.numbers").offset + level * step + nr.offset
        code.load(R.R3, R.R2, offset, nr.size)
        code.jump("pid found")
        code.label(f"not level {level}")
    code.jump("done")
    code.label("pid found")
    code.jump_if(R.R3, "==", 0, "done")  # it has just exited
    code.put(ROW, "pid", R.R3)


def _load_tgid(code: Assembler, layout: Layout, target: R, task: R) -> None:
    """Load the ``struct pid`` of a task's process."""
    code.load_field(target, task, layout.field("task_struct.signal"))
    code.load(target, target, layout.field("signal_struct.pids").offset + 8 * PIDTYPE_TGID, 8)


def write(code: Assembler) -> None:
    """Hand the row to the reader. R0 is not 0 where its buffer is full.

    bpf_seq_read() of kernel/bpf/bpf_iter.c then calls the program for this object again.
    """
    code.compute(R.R1, "=", SEQ)
    code.address_of(R.R2, ROW)
    code.compute(R.R3, "=", ROW.size)
    code.call(_SEQ_WRITE)


def end(code: Assembler) -> None:
    """Labels ``last`` (the closing record), ``write`` and ``done``."""
    code.label("last")
    code.call(JIFFIES_64)
    code.put(ROW, "frees_in_jiffies", R.R0)
    code.label("write")
    write(code)
    code.label("done")
    code.leave()
