"""The program for iter/task_file that finds what keeps a network namespace without a process.

Context: ``bpf_iter__task_file`` of kernel/bpf/task_iter.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sockwatch.kernel.bpf.assembler import Assembler, R, StackRecord
from sockwatch.kernel.bpf.helpers import SOCK_FROM_FILE
from sockwatch.kernel.bpf.rows import columns, packed
from sockwatch.kernel.bpf.snippets import (
    CTX,
    META,
    OBJECT,
    SEQ,
    load_netns_of_task,
    load_pid,
    write_record,
)

if TYPE_CHECKING:
    from sockwatch.kernel.bpf.layout import Layout

_KEEPER = (("inode", "I"), ("pid", "I"), ("fd", "I"), ("is_socket", "I"))
KEEPER_STRUCT: Final = packed(_KEEPER)
KEEPER_COLUMNS: Final = columns(_KEEPER)
_FD, _FILE = 16, 24  # words of the context
_NSFS_MAGIC = 0x6E736673  # include/uapi/linux/magic.h

_TASK, _INODE = R.R8, R.R9
_RECORD = StackRecord(KEEPER_COLUMNS, KEEPER_STRUCT.size, KEEPER_STRUCT.size)


def netns_file_program(layout: Layout, *, sockets: bool) -> Assembler:
    """A record for each fd of a namespace, of whatever kind, and each socket of another netns.

    Another one than that of its process. Without `sockets`, none of those. The closing record is of
    pid 0. Raises BpfUnavailable (old-kernel).
    """
    code = Assembler()
    code.compute(CTX, "=", R.R1)
    code.load(R.R1, CTX, META, 8)
    code.load_field(SEQ, R.R1, layout.field("bpf_iter_meta.seq"))
    code.clear(_RECORD)
    code.load(_TASK, CTX, OBJECT, 8)
    code.jump_if(_TASK, "==", 0, "write")
    code.load(R.R1, CTX, _FILE, 8)
    code.jump_if(R.R1, "==", 0, "write")
    code.load_field(R.R2, R.R1, layout.field("file.f_inode"))
    code.load_field(_INODE, R.R2, layout.field("inode.i_ino"))
    code.load_field(R.R3, R.R2, layout.field("inode.i_sb"))
    code.load_field(R.R3, R.R3, layout.field("super_block.s_magic"))
    code.jump_if(R.R3, "==", _NSFS_MAGIC, "keeper")
    if sockets:
        _load_netns_of_socket(code, layout)
        code.jump_if(_INODE, "==", 0, "done")
        load_netns_of_task(code, layout, R.R1, _TASK)
        code.jump_if(R.R1, "==", _INODE, "done")
        code.put(_RECORD, "is_socket", 1)
    else:
        code.jump("done")
    code.label("keeper")
    code.put(_RECORD, "inode", _INODE)
    code.load(R.R1, CTX, _FD, 4)
    code.put(_RECORD, "fd", R.R1)
    load_pid(code, layout, _TASK, "holder")
    code.jump_if(R.R3, "==", 0, "done")  # it is in no pid namespace of ours
    code.put(_RECORD, "pid", R.R3)
    code.label("write")
    write_record(code, _RECORD)
    code.label("done")
    code.leave()
    return code


def _load_netns_of_socket(code: Assembler, layout: Layout) -> None:
    """The file is in r1; jumps to ``done`` if it is none of a socket."""
    code.call(SOCK_FROM_FILE)
    code.jump_if(R.R0, "==", 0, "done")
    code.load_field(R.R1, R.R0, layout.field("socket.sk"))
    code.load_field(R.R1, R.R1, layout.field("sock_common.skc_net.net"))
    code.load_field(_INODE, R.R1, layout.field("net.ns.inum"))
