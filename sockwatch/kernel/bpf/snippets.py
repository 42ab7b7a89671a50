"""What our programs have in common, each as one function that emits it.

To follow a pointer out of what the kernel hands to a program takes the verifier 1.5 ms each time
(btf_nested_type_is_trusted() of kernel/bpf/btf.c looks through all types); out of what a helper
returns it is free, and so is a number. So the programs do little of the first.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from sockwatch.kernel.bpf import flags, rows
from sockwatch.kernel.bpf.assembler import Assembler, R, StackRecord
from sockwatch.kernel.bpf.helpers import (
    CURRENT_TASK,
    JIFFIES_64,
    MAP_LOOKUP,
    MAP_UPDATE,
    ONLY_IF_NEW,
    PROBE_READ_KERNEL,
    SEQ_WRITE,
)
from sockwatch.kernel.host import sees_every_process

if TYPE_CHECKING:
    from collections.abc import Callable

    from sockwatch.kernel.bpf.assembler import Column
    from sockwatch.kernel.bpf.btf import Field
    from sockwatch.kernel.bpf.layout import Layout

META, OBJECT = 0, 8  # the first context words; the object is the socket, or the task
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


def copy_key(code: Assembler, layout: Layout) -> None:
    """What full, mini and request sockets share and the bind test compares: ``sock_common``."""
    for name, member in (
        ("family", "skc_family"),
        ("state", "skc_state"),
        ("device", "skc_bound_dev_if"),
        ("port", "skc_num"),
    ):
        code.load_field(R.R1, SOCK, layout.field(f"sock_common.{member}"))
        code.put(ROW, name, R.R1)
    put_flags(code, ROW, layout, lambda to, field: code.load_field(to, SOCK, field), into=R.R2)
    _copy_address(code, layout, "address", "skc_rcv_saddr", "skc_v6_rcv_saddr")


def copy_cookie(code: Assembler, layout: Layout) -> None:
    """Which socket it is."""
    code.load_field(R.R1, SOCK, layout.field("sock_common.skc_cookie"))
    code.put(ROW, "cookie", R.R1)


def load_netns_inode(code: Assembler, layout: Layout, target: R) -> None:
    """The socket's network namespace, as in /proc/PID/ns/net."""
    code.load_field(target, SOCK, layout.field("sock_common.skc_net.net"))
    code.load_field(target, target, layout.field("net.ns.inum"))


def load_netns_of_task(code: Assembler, layout: Layout, target: R, task: R) -> None:
    """The number of the task's network namespace; 0 if it has exited."""
    code.compute(target, "=", task)
    for member in ("task_struct.nsproxy", "nsproxy.net_ns", "net.ns.inum"):
        code.load_field(target, target, layout.field(member))


def write_record(code: Assembler, record: StackRecord) -> None:
    """Hand a record to the reader, as write() does with the row."""
    code.compute(R.R1, "=", SEQ)
    code.address_of(R.R2, record)
    code.compute(R.R3, "=", record.size)
    code.call(SEQ_WRITE)


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


def copy_peer(code: Assembler, layout: Layout) -> None:
    """The peer's address, and its port, which is in network order."""
    _copy_address(code, layout, "peer", "skc_daddr", "skc_v6_daddr")
    code.load_field(R.R1, SOCK, layout.field("sock_common.skc_dport"))
    code.put(ROW, "peer_port", R.R1)


def _copy_address(code: Assembler, layout: Layout, column: str, ipv4: str, ipv6: str) -> None:
    start = ROW.start + ROW.columns[column].offset
    code.load_field(R.R1, SOCK, layout.field("sock_common.skc_family"))
    code.jump_if(R.R1, "==", socket.AF_INET6, ipv6)
    code.load_field(R.R1, SOCK, layout.field(f"sock_common.{ipv4}"))
    code.store(R.STACK, start, R.R1, 4)
    code.jump(f"{ipv6} copied")
    code.label(ipv6)
    field = layout.fields.get(f"sock_common.{ipv6}")  # or a kernel built without IPv6
    if field is not None:
        for half in (0, 8):
            code.load(R.R1, SOCK, field.offset + half, 8)
            code.store(R.STACK, start + half, R.R1, 8)
    code.label(f"{ipv6} copied")


def jump_if_port_in(code: Assembler, layout: Layout, ports_fd: int, label: str) -> None:
    """Jump if the bit of the socket's port is set in the map; r1 to r3 are lost."""
    _locate_port(code, layout, ports_fd)
    code.load(R.R1, R.R1, 0, 1)
    code.compute(R.R1, ">>", R.R3)
    code.compute(R.R1, "&", 1)
    code.jump_if(R.R1, "!=", 0, label)


def mark_port(code: Assembler, layout: Layout, ports_fd: int) -> None:
    """Set the bit of the socket's port in the map; r1 to r4 are lost."""
    _locate_port(code, layout, ports_fd)
    code.compute(R.R2, "=", 1)
    code.compute(R.R2, "<<", R.R3)
    code.load(R.R4, R.R1, 0, 1)
    code.compute(R.R4, "|", R.R2)
    code.store(R.R1, 0, R.R4, 1)


def _locate_port(code: Assembler, layout: Layout, ports_fd: int) -> None:
    """r1: the byte of the socket's port in a map of 65,536 bits; r3: which of its bits."""
    code.load_field(R.R2, SOCK, layout.field("sock_common.skc_num"))
    code.compute(R.R3, "=", R.R2)
    code.compute(R.R2, ">>", 3)
    code.compute(R.R3, "&", 7)
    code.map_value(R.R1, ports_fd)
    code.compute(R.R1, "+", R.R2)


def copy_inode(code: Assembler, layout: Layout, sock: R) -> None:
    """The number of a socket's file. A NULL on the way reads as 0, without a fault."""
    code.load_field(R.R1, sock, layout.field("sock.sk_socket"))
    code.load_field(R.R1, R.R1, layout.field("socket.file"))
    code.load_field(R.R1, R.R1, layout.field("file.f_inode"))
    code.load_field(R.R1, R.R1, layout.field("inode.i_ino"))
    code.put(ROW, "inode", R.R1)


def copy_pid(code: Assembler, layout: Layout, whose: str) -> None:
    """The number of the process in our own PID namespace; the context is lost.

    `whose` tells the labels from those of another copy.
    """
    code.load(CTX, CTX, OBJECT, 8)
    code.jump_if(CTX, "==", 0, "done")
    load_pid(code, layout, CTX, whose)
    code.jump_if(R.R3, "==", 0, "done")  # it has just exited, or is in a namespace beside ours
    code.put(ROW, "pid", R.R3)


def load_pid(code: Assembler, layout: Layout, task: R, whose: str) -> None:
    """r3: the number of the task's process in our own PID namespace; 0 for none.

    ``task_tgid_vnr()`` of kernel/pid.c. `task` must survive a call. `whose` tells the labels from
    those of another copy.
    """
    if sees_every_process():
        code.load_field(R.R3, task, layout.field("task_struct.tgid"))
        return
    code.call(CURRENT_TASK)
    code.compute(R.R3, "=", 0)
    _load_pid_struct(code, layout, R.R5, R.R0)
    code.load_field(R.R1, R.R5, layout.field("pid.level"))
    _load_pid_struct(code, layout, R.R2, task)
    code.load_field(R.R4, R.R2, layout.field("pid.level"))
    code.jump_if(R.R4, "<", R.R1, f"number of {whose}")
    # Offsets must be constants to the verifier, so each level has its own load.
    step = upid_bytes(layout)
    nr, ns = layout.field("upid.nr"), layout.field("upid.ns")
    for level in range(pid_levels(layout)):
        code.jump_if(R.R1, "!=", level, f"not level {level} of {whose}")
        offset = layout.field("pid.numbers").offset + level * step
        for target, pid in ((R.R4, R.R2), (R.R5, R.R5)):
            code.load(target, pid, offset + ns.offset, ns.size)
            code.load_field(target, target, layout.field("pid_namespace.ns.inum"))
        code.jump_if(R.R4, "!=", R.R5, f"number of {whose}")
        code.load(R.R3, R.R2, offset + nr.offset, nr.size)
        code.jump(f"number of {whose}")
        code.label(f"not level {level} of {whose}")
    code.label(f"number of {whose}")


def _load_pid_struct(code: Assembler, layout: Layout, target: R, task: R) -> None:
    """Load the ``struct pid`` of a task's process."""
    code.load_field(target, task, layout.field("task_struct.signal"))
    code.load(target, target, layout.field("signal_struct.pids").offset + 8 * PIDTYPE_TGID, 8)


def copy_from_kernel(code: Assembler, to: int, base: R, location: Column | Field) -> None:
    """Copy what lies at base + offset to the stack; zeros where no memory is. r1 to r5 are lost."""
    code.compute(R.R3, "=", base)
    code.note(getattr(location, "name", ""))
    code.compute(R.R3, "+", location.offset)
    code.compute(R.R1, "=", R.STACK)
    code.compute(R.R1, "+", to)
    code.compute(R.R2, "=", location.size)
    code.call(PROBE_READ_KERNEL)


def look_up_row(code: Assembler, counts_fd: int) -> None:
    """r0: the value in the map of what has the row's first columns as its key; 0 for none."""
    code.map_pointer(R.R1, counts_fd)
    code.address_of(R.R2, ROW)
    code.call(MAP_LOOKUP)


def add_row(code: Assembler, counts_fd: int, value: StackRecord) -> None:
    """Add that key with a value. r0 is 0 unless the map is full."""
    code.map_pointer(R.R1, counts_fd)
    code.address_of(R.R2, ROW)
    code.address_of(R.R3, value)
    code.compute(R.R4, "=", ONLY_IF_NEW)
    code.call(MAP_UPDATE)


def write(code: Assembler) -> None:
    """Hand the row to the reader. R0 is not 0 where its buffer is full.

    bpf_seq_read() of kernel/bpf/bpf_iter.c then calls the program for this object again.
    """
    write_record(code, ROW)


def end(code: Assembler) -> None:
    """Labels ``last`` (the closing record), ``write`` and ``done``."""
    code.label("last")
    code.call(JIFFIES_64)
    code.put(ROW, "frees_in_jiffies", R.R0)
    code.label("write")
    write(code)
    code.label("done")
    code.leave()
