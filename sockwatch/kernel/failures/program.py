"""The program at the end of every system call: a record for each bind() or listen() that failed.

Context: ``sys_exit`` of include/trace/events/syscalls.h, pt_regs and the return value. The
cheapest test comes first, since every system call of the host passes here.
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

from sockwatch.kernel.bpf import helpers
from sockwatch.kernel.bpf.assembler import Assembler, Column, R, StackRecord
from sockwatch.kernel.bpf.layout import FIELDS
from sockwatch.kernel.failures import rows
from sockwatch.kernel.failures.burst_program import leave_if_frequent
from sockwatch.kernel.failures.kernel_reads import KernelReads

if TYPE_CHECKING:
    from sockwatch.kernel.bpf.layout import Layout
    from sockwatch.kernel.failures.machines import Machine

# Not failures: the caller, or the kernel for it, makes the call again. The last are ERESTARTSYS,
# ERESTARTNOINTR, ERESTARTNOHAND and ERESTART_RESTARTBLOCK of include/linux/errno.h.
COMMON_TRANSIENT = errno.EAGAIN
TRANSIENT = (errno.EINTR, errno.EALREADY, errno.EINPROGRESS, 512, 513, 514, 516)

_REGISTERS, _ANSWER = 0, 8  # the context's words
_USER_LEVELS = 33  # user namespaces are nested no deeper: kernel/user_namespace.c
_GENERATIONS = 48  # of processes that are searched upwards
_ANCESTRY = ("task_struct.tgid", "task_struct.real_parent")
_SOCKADDR_MOST = 110  # sizeof(struct sockaddr_un)

ROW = StackRecord(rows.FAILURE_COLUMNS, rows.FAILURE_STRUCT.size, rows.FAILURE_STRUCT.size)

# What the program needs to find a socket's struct from its fd, and a process's from its task.
_TASK = ("task_struct.", "signal_struct.", "pid.", "upid.", "pid_namespace.", "mm_struct.")
_SOCKET = ("sock_common.", "sock.sk_", "socket.", "file", "fdtable.", "inode.", "net", "nsproxy.")
_DIRECTORY = ("task_struct.fs", "fs_struct.", "dentry.", "mount.", "inode.")
_OPTIONAL = ("sock_common.skc_v6_rcv_saddr", "sock.sk_reuseport_cb", "task_struct.seccomp.mode")


def failure_program(
    machine: Machine,
    layout: Layout | None,
    *,
    ring_fd: int,
    lost_fd: int,
    bursts_fd: int,
    pid_namespace: int,
    descendants_of: int | None = None,
) -> Assembler:
    """The program. Without `layout` a record holds only the call's arguments and helpers' results.

    `pid_namespace` is the inode of the one whose numbers are wanted. A record that finds the ring
    full is counted in the only value of the map `lost_fd`; `bursts_fd` counts those that are alike,
    so that one loop does not fill the ring for all. `descendants_of` is a process, by its number in
    the initial pid namespace: failures of others are left out. None stands for all; to tell, it
    takes a `layout` that has_ancestry().
    """
    code = Assembler()
    reads = KernelReads(code, ROW)
    _keep_failures(code, reads, machine)
    _copy_identity(code)
    _copy_sockaddr(code, reads, machine)
    if layout is not None:
        code.call(helpers.CURRENT_TASK_ADDRESS)
        code.compute(R.R6, "=", R.R0)  # the registers are not needed any more
        if descendants_of is not None:
            _keep_descendants(code, reads, layout, descendants_of)
        _copy_process(code, reads, layout, pid_namespace)
        _copy_directories(code, reads, layout)
        _copy_socket(code, reads, layout)
    leave_if_frequent(code, ROW, bursts_fd)
    _send(code, ring_fd, lost_fd)
    return code


def _keep_failures(code: Assembler, reads: KernelReads, machine: Machine) -> None:
    """Leave unless it is one of our calls and has failed for good; r6 is then pt_regs."""
    code.compute(R.R6, "=", R.R1)
    code.load(R.R7, R.R6, _ANSWER, 8)
    code.jump_if(R.R7, "s>=", 0, "done")
    code.jump_if(R.R7, "==", -COMMON_TRANSIENT, "done")
    code.load(R.R6, R.R6, _REGISTERS, 8)
    reads.read(R.R8, R.R6, machine.number)
    code.jump_if(R.R8, "==", machine.bind, "ours")
    code.jump_if(R.R8, "!=", machine.listen, "done")
    code.label("ours")
    for number in TRANSIENT:
        code.jump_if(R.R7, "==", -number, "done")
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
    code.call(helpers.KTIME)
    code.put(ROW, "time_ns", R.R0)
    code.call(helpers.PID_TGID)
    code.put(ROW, "host_tid", R.R0)
    code.compute(R.R0, ">>", 32)
    code.put(ROW, "host_pid", R.R0)
    code.call(helpers.UID_GID)
    code.put(ROW, "uid", R.R0)
    code.compute(R.R0, ">>", 32)
    code.put(ROW, "gid", R.R0)
    code.call(helpers.CGROUP_ID)
    code.put(ROW, "cgroup_id", R.R0)
    _address_of(code, "comm")
    code.compute(R.R2, "=", ROW.columns["comm"].size)
    code.call(helpers.COMM)


def _copy_sockaddr(code: Assembler, reads: KernelReads, machine: Machine) -> None:
    """As many bytes as the caller gave: more could lie on a page that is not there."""
    code.get(R.R1, ROW, "call")
    code.jump_if(R.R1, "!=", rows.BIND, "no sockaddr")
    _, address, length = machine.arguments
    reads.read(R.R8, R.R6, Column(length.offset, 4))
    reads.read(R.R3, R.R6, address)
    code.put(ROW, "length", R.R8)
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
    if "task_struct.seccomp.mode" in layout.fields:  # else a kernel built without seccomp
        reads.copy_field("seccomp", R.R6, layout.field("task_struct.seccomp.mode"))
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


def has_ancestry(layout: Layout | None) -> bool:
    """Whether the kernel lets the program tell whose descendant a process is."""
    return layout is not None and all(path in layout.fields for path in _ANCESTRY)


def _keep_descendants(code: Assembler, reads: KernelReads, layout: Layout, ancestor: int) -> None:
    """Leave unless the process, or one above it, has the number. r6 is the task."""
    code.compute(R.R7, "=", R.R6)
    for _ in range(_GENERATIONS):
        reads.read_field(R.R8, R.R7, layout.field("task_struct.tgid"))
        code.jump_if(R.R8, "==", ancestor, "descendant")
        reads.read_field(R.R7, R.R7, layout.field("task_struct.real_parent"))
    code.jump("done")
    code.label("descendant")


def _copy_directories(code: Assembler, reads: KernelReads, layout: Layout) -> None:
    """Where the thread's absolute and relative paths start. r6 is the task."""
    if not _has(layout, _DIRECTORY):
        return
    number, vfsmount = layout.field("mount.mnt_id"), layout.field("mount.mnt")
    reads.read_field(R.R7, R.R6, layout.field("task_struct.fs"))
    for name, path in (("root", "fs_struct.root"), ("cwd", "fs_struct.pwd")):
        # The struct path points into a struct mount: real_mount() of fs/mount.h.
        reads.read_field(R.R8, R.R7, layout.field(f"{path}.mnt"))
        reads.read(R.R1, R.R8, Column(number.offset - vfsmount.offset, number.size))
        code.put(ROW, f"{name}_mount", R.R1)
        reads.read_field(R.R8, R.R7, layout.field(f"{path}.dentry"))
        reads.read_field(R.R8, R.R8, layout.field("dentry.d_inode"))
        reads.copy_field(f"{name}_inode", R.R8, layout.field("inode.i_ino"))
    _mark(code, rows.SEEN_DIRECTORIES)


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
    _copy_family_members(code, reads, layout)
    reads.read_field(R.R9, R.R8, layout.field("sock_common.skc_net.net"))
    _mark(code, rows.SEEN_SOCKET)
    code.jump("in namespace")
    code.label("no socket")
    reads.read_field(R.R1, R.R6, layout.field("task_struct.nsproxy"))
    reads.read_field(R.R9, R.R1, layout.field("nsproxy.net_ns"))
    code.label("in namespace")
    _copy_namespace(code, reads, layout)


def _copy_family_members(code: Assembler, reads: KernelReads, layout: Layout) -> None:
    """What only inet and unix sockets have. r8 is the sock, the first member of either."""
    code.get(R.R7, ROW, "family")
    if "inet_sock.local_port_range" in layout.fields:  # IP_LOCAL_PORT_RANGE, since 6.3
        code.jump_if(R.R7, "==", socket.AF_INET, "inet")
        code.jump_if(R.R7, "!=", socket.AF_INET6, "not inet")
        code.label("inet")
        place = layout.field("inet_sock.local_port_range")
        reads.read(R.R1, R.R8, Column(place.offset, 4))  # before 6.8 a struct of two __u16
        code.put(ROW, "port_range", R.R1)
        code.label("not inet")
    if "unix_sock.addr" in layout.fields:  # a module's, on some kernels
        code.jump_if(R.R7, "!=", socket.AF_UNIX, "not unix")
        reads.read_field(R.R1, R.R8, layout.field("unix_sock.addr"))
        code.jump_if(R.R1, "==", 0, "not unix")
        code.put(ROW, "has_name", 1)
        code.label("not unix")


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
    """Of the network namespace in r9: its number, and whether the capabilities count in it.

    As cap_capable_helper() of security/commoncap.c. r6 is the task, which is lost.
    """
    reads.copy_field("netns_inode", R.R9, layout.field("net.ns.inum"))
    reads.read_field(R.R7, R.R9, layout.field("net.user_ns"))
    reads.read_field(R.R8, R.R6, layout.field("task_struct.cred"))
    reads.copy_field("capabilities", R.R8, layout.field("cred.cap_effective"))
    reads.read_field(R.R6, R.R8, layout.field("cred.euid.val"))
    reads.read_field(R.R9, R.R8, layout.field("cred.user_ns"))
    for level in range(_USER_LEVELS):
        code.jump_if(R.R7, "==", R.R9, "capable")
        reads.read_field(R.R8, R.R7, layout.field("user_namespace.owner.val"))
        reads.read_field(R.R7, R.R7, layout.field("user_namespace.parent"))
        code.jump_if(R.R7, "==", 0, "not capable")
        code.jump_if(R.R7, "!=", R.R9, f"above level {level}")
        code.jump_if(R.R8, "==", R.R6, "made it")
        code.label(f"above level {level}")
    code.jump("not capable")
    code.label("made it")
    code.put(ROW, "capable_here", rows.CAPABLE_OF_ALL)
    code.jump("not capable")
    code.label("capable")
    code.put(ROW, "capable_here", rows.CAPABLE)
    code.label("not capable")


def _send(code: Assembler, ring_fd: int, lost_fd: int) -> None:
    code.map_pointer(R.R1, ring_fd)
    code.address_of(R.R2, ROW)
    code.compute(R.R3, "=", ROW.size)
    code.compute(R.R4, "=", 0)
    code.call(helpers.RINGBUF_OUTPUT)
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
    code.call(helpers.PROBE_READ_USER)


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
