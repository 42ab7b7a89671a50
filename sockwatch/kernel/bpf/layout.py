"""The kernel functions and struct members that our programs need."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from sockwatch.kernel.bpf.btf import Btf, BtfError, Field
from sockwatch.kernel.bpf.errors import NEWER_KERNEL, BpfUnavailable

BTF_FILE = Path("/sys/kernel/btf/vmlinux")

FUNCTIONS = ("bpf_iter_tcp", "bpf_iter_udp", "bpf_iter_task_file", "bpf_iter_task")
FIELDS = (
    "bpf_iter_meta.seq",
    "sock_common.skc_reuse",
    "sock_common.skc_reuseport",
    "sock_common.skc_ipv6only",
    "sock_common.skc_state",
    "sock_common.skc_family",
    "sock_common.skc_bound_dev_if",
    "sock_common.skc_num",
    "sock_common.skc_rcv_saddr",
    "sock_common.skc_v6_rcv_saddr",
    "sock_common.skc_daddr",
    "sock_common.skc_v6_daddr",
    "sock_common.skc_dport",
    "sock_common.skc_cookie",
    "sock_common.skc_net.net",
    "net.ns.inum",
    "sock.sk_protocol",
    "sock.sk_type",
    "sock.sk_uid.val",
    "sock.sk_socket",
    "socket.file",
    "socket.sk",
    "file.f_inode",
    "inode.i_ino",
    "task_struct.signal",
    "signal_struct.pids",
    "pid.level",
    "pid.numbers",
    "upid.nr",
    "upid.ns",
    "tcp_timewait_sock.tw_sk.tw_timer.expires",
    "tcp_timewait_sock.tw_sk.tw_substate",
    "tcp_timewait_sock.tw_sk.tw_tb",
    "tcp_sock.inet_conn.icsk_bind_hash",
    "inet_bind_bucket.fastreuse",
    "sock.sk_userlocks",
    "sock.sk_reuseport_cb",
    "task_struct.files",
    "task_struct.group_leader",
    "task_struct.pid",
    "task_struct.tgid",
    "task_struct.self_exec_id",
    "task_struct.real_cred",
    "task_struct.cgroups",
    "css_set.dfl_cgrp",
    "cgroup.kn",
    "kernfs_node.id",
    "task_struct.real_parent",
    "task_struct.comm",
    "task_struct.__state",
    "task_struct.exit_state",
    "task_struct.start_boottime",
    "task_struct.nsproxy",
    "task_struct.cred",
    "task_struct.mm",
    "files_struct.fdt",
    "fdtable.fd",
    "fdtable.max_fds",
    "file.private_data",
    "nsproxy.net_ns",
    "net.user_ns",
    "cred.cap_effective",
    "cred.user_ns",
    "cred.euid.val",
    "user_namespace.parent",
    "user_namespace.owner.val",
    "pid_namespace.ns.inum",
    "task_struct.seccomp.mode",
    "inet_sock.local_port_range",
    "unix_sock.addr",
    "task_struct.fs",
    "fs_struct.root.mnt",
    "fs_struct.root.dentry",
    "fs_struct.pwd.mnt",
    "fs_struct.pwd.dentry",
    "dentry.d_inode",
    "mount.mnt",
    "mount.mnt_id",
    "mm_struct.arg_start",
    "mm_struct.arg_end",
)
# What lists network namespaces needs besides. Of ns_common, kernels have these or those.
NETNS_FIELDS = (
    "net.list.next",
    "net.ns.ops",
    "net.ns.ns_id",  # since 6.18
    "net.ns.__ns_ref.refs.counter",  # since 6.18
    "net.ns.count.refs.counter",  # since 5.11
    "net.count.refs.counter",  # before
    "inode.i_sb",
    "super_block.s_magic",
)
# What kernels before 5.14 call it.
OLDER_NAMES = {"task_struct.__state": "task_struct.state"}
ASKED = (*FUNCTIONS, *FIELDS, *NETNS_FIELDS, *OLDER_NAMES.values())


class Layout(NamedTuple):
    """BTF ids of functions and offsets of struct members; what the kernel lacks is left out."""

    functions: dict[str, int]
    fields: dict[str, Field]

    def function(self, name: str) -> int:
        """The BTF id of the function. Raises BpfUnavailable (old-kernel) if there is none."""
        try:
            return self.functions[name]
        except KeyError:
            raise _too_old(f"function {name}") from None

    def field(self, path: str) -> Field:
        """Where the member is. Raises BpfUnavailable (old-kernel) if there is none."""
        try:
            return self.fields[path]._replace(name=path)
        except KeyError:
            raise _too_old(f"member {path}") from None


def read_layout(btf_file: Path = BTF_FILE) -> Layout:
    """The layout from BTF itself. Raises BpfUnavailable: no-btf, bad-btf."""
    try:
        data = btf_file.read_bytes()
    except OSError as error:
        raise BpfUnavailable(
            "no-btf",
            f"the kernel's type information cannot be read: {btf_file}: {error.strerror}",
            remedy="use a kernel built with CONFIG_DEBUG_INFO_BTF, and mount /sys",
            errno=error.errno,
        ) from error
    try:
        btf = Btf(data, {*FUNCTIONS, *(path.split(".")[0] for path in (*FIELDS, *NETNS_FIELDS))})
        functions = {name: btf.function_id(name) for name in FUNCTIONS}
        fields = {
            path: btf.field(path) or btf.field(OLDER_NAMES.get(path, path))
            for path in (*FIELDS, *NETNS_FIELDS)
        }
    except BtfError as error:
        raise BpfUnavailable("bad-btf", f"{btf_file}: {error}") from error
    return Layout(
        {name: type_id for name, type_id in functions.items() if type_id is not None},
        {path: field for path, field in fields.items() if field is not None},
    )


def _too_old(what: str) -> BpfUnavailable:
    return BpfUnavailable(
        "old-kernel",
        f"the kernel {os.uname().release} has no {what}",
        remedy=NEWER_KERNEL,
    )
