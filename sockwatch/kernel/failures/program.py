"""The program at the end of every system call: a record for each bind() or listen() that failed.

Context: ``sys_exit`` of include/trace/events/syscalls.h, pt_regs and the return value. Helper
numbers: include/uapi/linux/bpf.h. The cheapest test comes first, since every system call of the
host passes here.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from sockwatch.kernel.bpf.assembler import Assembler, Column, R, StackRecord
from sockwatch.kernel.bpf.layout import FIELDS
from sockwatch.kernel.failures import rows
from sockwatch.kernel.failures.burst_program import leave_if_frequent
from sockwatch.kernel.failures.kernel_reads import KernelReads

if TYPE_CHECKING:
    from sockwatch.kernel.bpf.layout import Layout
    from sockwatch.kernel.failures.machines import Machine

WATCHED = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES)

_REGISTERS, _ANSWER = 0, 8  # the context's words
_KTIME, _PID_TGID, _UID_GID, _COMM, _CURRENT_TASK = 5, 14, 15, 16, 35
_CGROUP_ID, _PROBE_READ_USER, _RINGBUF_OUTPUT = 80, 112, 130
_SOCKADDR_MOST = 110  # sizeof(struct sockaddr_un)

ROW = StackRecord(rows.FAILURE_COLUMNS, rows.FAILURE_STRUCT.size, rows.FAILURE_STRUCT.size)

# What the program needs to find a socket's struct from its fd, and a process's from its task.
_TASK = ("task_struct.", "signal_struct.", "pid.", "upid.", "pid_namespace.", "mm_struct.")
_SOCKET = ("sock_common.", "sock.sk_", "socket.", "file", "fdtable.", "inode.", "net", "nsproxy.")
_OPTIONAL = ("sock_common.skc_v6_rcv_saddr", "sock.sk_reuseport_cb")


def failure_program(
    machine: Machine,
    layout: Layout | None,
    *,
    ring_fd: int,
    lost_fd: int,
    bursts_fd: int,
    pid_namespace: int,
) -> Assembler:
    """The program. Without `layout` a record holds only the call's arguments and helpers' results.

    `pid_namespace` is the inode of the one whose numbers are wanted. A record that finds the ring
    full is counted in the only value of the map `lost_fd`; `bursts_fd` counts those that are alike,
    so that one loop does not fill the ring for all.
    """
    code = Assembler()
    reads = KernelReads(code, ROW)
    _keep_failures(code, reads, machine)
    _copy_identity(code)
    _copy_sockaddr(code, reads, machine)
    if layout is not None:
        code.call(_CURRENT_TASK)
        code.compute(R.R6, "=", R.R0)  # the registers are not needed any more
        _copy_process(code, reads, layout, pid_namespace)
        _copy_socket(code, reads, layout)
    leave_if_frequent(code, ROW, bursts_fd)
    _send(code, ring_fd, lost_fd)
    return code


def _keep_failures(code: Assembler, reads: KernelReads, machine: Machine) -> None:
    """Leave unless it is one of our calls and errors; r6 is then pt_regs."""
    code.compute(R.R6, "=", R.R1)
    code.load(R.R7, R.R6, _ANSWER, 8)
    code.jump_if(R.R7, "s>=", 0, "done")
    first, *others = WATCHED
    for number in others:
        code.jump_if(R.R7, "==", -number, "failed")
    code.jump_if(R.R7, "!=", -first, "done")
    code.label("failed")
    code.load(R.R6, R.R6, _REGISTERS, 8)
    reads.read(R.R8, R.R6, machine.number)
    code.jump_if(R.R8, "==", machine.bind, "ours")
    code.jump_if(R.R8, "!=", machine.listen, "done")
    code.label("ours")
    code.clear(ROW)
    code.put(ROW, "call", rows.LISTEN)
    code.jump_if(R.R8, "!=", machine.bind, "named")
    code.put(ROW, "call", rows.BIND)
    code.label("named")
    code.compute(R.R1, "=", 0)
    code.compute(R.R1, "-", R.R7)
    code.put(ROW, "errno", R.R1)
    reads.read(R.R1, R.R6, machine.arguments[0])
    code.put(ROW, "fd", R.R1)


def _copy_identity(code: Assembler) -> None:
    code.call(_KTIME)
    code.put(ROW, "time_ns", R.R0)
    code.call(_PID_TGID)
    code.put(ROW, "host_tid", R.R0)
    code.compute(R.R0, ">>", 32)
    code.put(ROW, "host_pid", R.R0)
    code.call(_UID_GID)
    code.put(ROW, "uid", R.R0)
    code.call(_CGROUP_ID)
    code.put(ROW, "cgroup_id", R.R0)
    _address_of(code, "comm")
    code.compute(R.R2, "=", ROW.columns["comm"].size)
    code.call(_COMM)


def _copy_sockaddr(code: Assembler, reads: KernelReads, machine: Machine) -> None:
    """As many bytes as the caller gave: more could lie on a page that is not there."""
    code.get(R.R1, ROW, "call")
    code.jump_if(R.R1, "!=", rows.BIND, "no sockaddr")
    _, address, length = machine.arguments
    reads.read(R.R8, R.R6, Column(length.offset, 4))
    reads.read(R.R3, R.R6, address)
    code.jump_if(R.R8, "<=", _SOCKADDR_MOST, "length known")
    code.compute(R.R8, "=", _SOCKADDR_MOST)
    code.label("length known")
    _read_user(code, "sockaddr", R.R8)
    code.jump_if(R.R0, "!=", 0, "no sockaddr")
    code.put(ROW, "sockaddr_bytes", R.R8)
    _mark(code, rows.SEEN_ADDRESS)
    code.label("no sockaddr")


def _copy_process(code: Assembler, reads: KernelReads, layout: Layout, pid_namespace: int) -> None:
    """Of the process: its pid, parent, start time, command line. r6 is the task."""
    if not _has(layout, _TASK):
        return
    reads.read_field(R.R7, R.R6, layout.field("task_struct.group_leader"))
    reads.copy_field("started_ns", R.R7, layout.field("task_struct.start_boottime"))
    reads.copy_pid("pid", R.R7, layout, pid_namespace)
    reads.read_field(R.R7, R.R7, layout.field("task_struct.real_parent"))
    reads.copy_pid("parent_pid", R.R7, layout, pid_namespace)
    _mark(code, rows.SEEN_TASK)

    reads.read_field(R.R7, R.R6, layout.field("task_struct.mm"))
    reads.read_field(R.R8, R.R7, layout.field("mm_struct.arg_end"))
    reads.read_field(R.R3, R.R7, layout.field("mm_struct.arg_start"))
    code.compute(R.R8, "-", R.R3)
    code.jump_if(R.R8, "<=", rows.COMMAND_BYTES, "command fits")
    code.compute(R.R8, "=", rows.COMMAND_BYTES)
    code.put(ROW, "cut", 1)
    code.label("command fits")
    _read_user(code, "command", R.R8)
    code.jump_if(R.R0, "!=", 0, "no command")
    code.put(ROW, "command_bytes", R.R8)
    _mark(code, rows.SEEN_COMMAND)
    code.label("no command")


def _copy_socket(code: Assembler, reads: KernelReads, layout: Layout) -> None:
    """Of the socket behind the fd: its flags, protocol, owner, address. r6 is the task."""
    if not _has(layout, (*_SOCKET, "cred.", "user_namespace.", "task_struct.")):
        return
    _find_file(code, reads, layout)
    reads.read_field(R.R7, R.R8, layout.field("file.private_data"))
    code.jump_if(R.R7, "==", 0, "no socket")
    # Only a socket's struct points back at its file: the fd may refer to something else meanwhile.
    reads.read_field(R.R1, R.R7, layout.field("socket.file"))
    code.jump_if(R.R1, "!=", R.R8, "no socket")
    reads.read_field(R.R1, R.R8, layout.field("file.f_inode"))
    reads.copy_field("inode", R.R1, layout.field("inode.i_ino"))
    reads.read_field(R.R8, R.R7, layout.field("socket.sk"))
    code.jump_if(R.R8, "==", 0, "no socket")
    for name, member in (
        ("family", "sock_common.skc_family"),
        ("port", "sock_common.skc_num"),
        ("device", "sock_common.skc_bound_dev_if"),
        ("type", "sock.sk_type"),
        ("protocol", "sock.sk_protocol"),
        ("socket_uid", "sock.sk_uid.val"),
    ):
        reads.copy_field(name, R.R8, layout.field(member))
    reads.copy_socket_flags(R.R8, layout)
    reads.copy_socket_address(R.R8, layout)
    if "sock.sk_reuseport_cb" in layout.fields:
        reads.read_field(R.R1, R.R8, layout.field("sock.sk_reuseport_cb"))
        code.jump_if(R.R1, "==", 0, "no own group")
        code.put(ROW, "own_group", 1)
        code.label("no own group")
    reads.read_field(R.R9, R.R8, layout.field("sock_common.skc_net.net"))
    _mark(code, rows.SEEN_SOCKET)
    code.jump("in namespace")
    code.label("no socket")
    reads.read_field(R.R1, R.R6, layout.field("task_struct.nsproxy"))
    reads.read_field(R.R9, R.R1, layout.field("nsproxy.net_ns"))
    code.label("in namespace")
    _copy_namespace(code, reads, layout)


def _find_file(code: Assembler, reads: KernelReads, layout: Layout) -> None:
    """The thread's struct file behind the fd into r8: files_lookup_fd_raw() of linux/fdtable.h."""
    reads.read_field(R.R8, R.R6, layout.field("task_struct.files"))
    reads.read_field(R.R8, R.R8, layout.field("files_struct.fdt"))
    reads.read_field(R.R9, R.R8, layout.field("fdtable.max_fds"))
    code.get(R.R7, ROW, "fd")
    code.jump_if(R.R7, ">=", R.R9, "no socket")
    reads.read_field(R.R8, R.R8, layout.field("fdtable.fd"))
    code.compute(R.R7, "<<", 3)
    code.compute(R.R8, "+", R.R7)
    reads.read(R.R8, R.R8, Column(0, 8))


def _copy_namespace(code: Assembler, reads: KernelReads, layout: Layout) -> None:
    """Of the network namespace in r9: its number, and whether the capabilities count in it."""
    reads.copy_field("netns_inode", R.R9, layout.field("net.ns.inum"))
    reads.read_field(R.R7, R.R9, layout.field("net.user_ns"))
    reads.read_field(R.R8, R.R6, layout.field("task_struct.cred"))
    reads.copy_field("capabilities", R.R8, layout.field("cred.cap_effective"))
    reads.read_field(R.R8, R.R8, layout.field("cred.user_ns"))
    code.jump_if(R.R7, "==", R.R8, "capable")
    # They count in the namespaces below one's own as well: ns_capable(), kernel/capability.c.
    reads.read_field(R.R7, R.R7, layout.field("user_namespace.level"))
    reads.read_field(R.R8, R.R8, layout.field("user_namespace.level"))
    code.jump_if(R.R8, ">=", R.R7, "not capable")
    code.label("capable")
    code.put(ROW, "capable_here", 1)
    code.label("not capable")


def _send(code: Assembler, ring_fd: int, lost_fd: int) -> None:
    code.map_pointer(R.R1, ring_fd)
    code.address_of(R.R2, ROW)
    code.compute(R.R3, "=", ROW.size)
    code.compute(R.R4, "=", 0)
    code.call(_RINGBUF_OUTPUT)
    code.jump_if(R.R0, "==", 0, "done")
    code.map_value(R.R1, lost_fd)
    code.compute(R.R2, "=", 1)
    code.add_atomically(R.R1, 0, R.R2)
    code.label("done")
    code.leave()


def _read_user(code: Assembler, name: str, size: R) -> None:
    """Read `size` bytes of the caller's memory at r3 into a column."""
    _address_of(code, name)
    code.compute(R.R2, "=", size)
    code.call(_PROBE_READ_USER)


def _address_of(code: Assembler, name: str) -> None:
    code.compute(R.R1, "=", R.STACK)
    code.compute(R.R1, "+", ROW.start + ROW.columns[name].offset)


def _mark(code: Assembler, bit: int) -> None:
    code.get(R.R1, ROW, "seen")
    code.compute(R.R1, "|", bit)
    code.put(ROW, "seen", R.R1)


def _has(layout: Layout, groups: tuple[str, ...]) -> bool:
    """Whether the kernel has every member of these structs that we ask for."""
    wanted = (path for path in FIELDS if path.startswith(groups) and path not in _OPTIONAL)
    return all(path in layout.fields for path in wanted)
