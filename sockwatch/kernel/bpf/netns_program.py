"""The program for iter/task that lists network namespaces, and says which process is in which.

The kernel keeps every ``struct net`` in a ring, ``net_namespace_list`` of
net/core/net_namespace.c. The one element of it that is no ``struct net`` is the list's head: the
initial namespace follows it. An iterator runs under RCU, which keeps all that is in the ring from
being freed, so one call walks the whole of it: the closing one, without a task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sockwatch.kernel.bpf.assembler import Assembler, R, StackRecord
from sockwatch.kernel.bpf.errors import BpfUnavailable
from sockwatch.kernel.bpf.helpers import CURRENT_TASK_ADDRESS
from sockwatch.kernel.bpf.rows import columns, packed
from sockwatch.kernel.bpf.snippets import (
    CTX,
    META,
    OBJECT,
    SEQ,
    copy_from_kernel,
    load_netns_of_task,
    load_pid,
    write_record,
)

if TYPE_CHECKING:
    from sockwatch.kernel.bpf.btf import Field
    from sockwatch.kernel.bpf.layout import Layout

# The value of the map: a head, and the elements of the ring, ours first. `ops` is the difference
# to that of ours, 0 for every namespace. `references` is 0 of one that has ended.
_RING_HEAD = (("bytes", "Q"), ("is_whole", "Q"))
_ELEMENT = (("ops", "Q"), ("id", "Q"), ("inode", "I"), ("references", "I"))
_MEMBER = (
    ("started_ns", "Q"),
    ("cgroup_id", "Q"),
    ("netns_inode", "I"),
    ("pid", "I"),
    ("is_thread", "I"),
    ("spare", "I"),
)
RING_HEAD_STRUCT: Final = packed(_RING_HEAD)
ELEMENT_STRUCT: Final = packed(_ELEMENT)
MEMBER_STRUCT: Final = packed(_MEMBER)
MEMBER_COLUMNS: Final = columns(_MEMBER)
_RING_HEAD_COLUMNS = columns(_RING_HEAD)
_ELEMENT_COLUMNS = columns(_ELEMENT)
# Where the kernel has them; of the names for one thing, the first that is there.
_MEMBERS_OF_NS = {
    "ops": ("net.ns.ops",),
    "id": ("net.ns.ns_id",),
    "inode": ("net.ns.inum",),
    "references": (
        "net.ns.__ns_ref.refs.counter",
        "net.ns.count.refs.counter",
        "net.count.refs.counter",
    ),
}

_TASK = R.R8
_RECORD = StackRecord(MEMBER_COLUMNS, MEMBER_STRUCT.size, MEMBER_STRUCT.size)
# The walk comes when there is no task, and has its registers.
_NET, _OFFSET = R.R8, R.R9
_NEXT, _OWN, _OWN_OPS, _NS = -40, -48, -56, -320  # on the stack, below the record
_MOST_NS_BYTES = _OWN_OPS - _NS


def ring_bytes(most: int) -> int:
    """The size of the map's value for so many elements."""
    return RING_HEAD_STRUCT.size + most * ELEMENT_STRUCT.size


def netns_program(layout: Layout, ring_fd: int, most: int) -> Assembler:
    """A record for each process, and for each thread that is elsewhere than its process.

    The closing record is of pid 0; at most `most` elements of the ring are in the map then. Raises
    BpfUnavailable (old-kernel).
    """
    code = Assembler()
    code.compute(CTX, "=", R.R1)
    code.load(R.R1, CTX, META, 8)
    code.load_field(SEQ, R.R1, layout.field("bpf_iter_meta.seq"))
    code.load(_TASK, CTX, OBJECT, 8)
    code.clear(_RECORD)
    code.jump_if(_TASK, "==", 0, "walk")
    load_netns_of_task(code, layout, R.R9, _TASK)
    code.jump_if(R.R9, "==", 0, "done")  # it has exited
    code.put(_RECORD, "netns_inode", R.R9)
    code.load_field(R.R1, _TASK, layout.field("task_struct.tgid"))
    code.load_field(R.R2, _TASK, layout.field("task_struct.pid"))
    code.jump_if(R.R1, "==", R.R2, "process")
    code.load_field(R.R1, _TASK, layout.field("task_struct.group_leader"))
    load_netns_of_task(code, layout, R.R1, R.R1)
    code.jump_if(R.R1, "==", R.R9, "done")
    code.put(_RECORD, "is_thread", 1)
    code.label("process")
    load_pid(code, layout, _TASK, "process")
    code.jump_if(R.R3, "==", 0, "done")  # it is in no pid namespace of ours
    code.put(_RECORD, "pid", R.R3)
    code.load_field(R.R1, _TASK, layout.field("task_struct.start_boottime"))
    code.put(_RECORD, "started_ns", R.R1)
    code.compute(R.R1, "=", _TASK)
    for member in ("task_struct.cgroups", "css_set.dfl_cgrp", "cgroup.kn", "kernfs_node.id"):
        code.load_field(R.R1, R.R1, layout.field(member))
    code.put(_RECORD, "cgroup_id", R.R1)
    code.jump("write")
    _walk(code, layout, ring_fd, most)
    code.label("write")
    write_record(code, _RECORD)
    code.label("done")
    code.leave()
    return code


def _walk(code: Assembler, layout: Layout, ring_fd: int, most: int) -> None:
    """Write the ring into the map; ends where the record is written.

    Every jump that the verifier has to try both ways costs it time for each element.
    """
    members = _members_of_ns(layout)
    first = min(field.offset for field in members.values()) & ~7  # where loads of 8 bytes may be
    size = max(field.offset + field.size for field in members.values()) - first
    if size > _MOST_NS_BYTES:  # 104 where the count of references has a cache line of its own
        raise BpfUnavailable("old-kernel", f"struct ns_common has {size} bytes between its members")
    read_at_once = members["ops"]._replace(offset=first, size=size)
    following = layout.field("net.list.next")

    code.label("walk")
    _put_in_head(code, ring_fd, "is_whole", 0)
    code.call(CURRENT_TASK_ADDRESS)
    copy_from_kernel(code, _NEXT, R.R0, layout.field("task_struct.nsproxy"))
    code.load(R.R1, R.STACK, _NEXT, 8)
    copy_from_kernel(code, _NEXT, R.R1, layout.field("nsproxy.net_ns"))
    code.load(_NET, R.STACK, _NEXT, 8)
    code.store(R.STACK, _OWN, _NET, 8)
    copy_from_kernel(code, _OWN_OPS, _NET, layout.field("net.ns.ops"))
    code.compute(_OFFSET, "=", RING_HEAD_STRUCT.size)

    code.label("element")
    copy_from_kernel(code, _NS, _NET, read_at_once)
    copy_from_kernel(code, _NEXT, _NET, following)
    code.map_value(R.R1, ring_fd)
    code.compute(R.R1, "+", _OFFSET)
    for name, column in _ELEMENT_COLUMNS.items():
        if name in members:
            code.note(members[name].name)
            code.load(R.R2, R.STACK, _NS + members[name].offset - first, members[name].size)
        else:
            code.compute(R.R2, "=", int(name == "references"))  # not known to have ended
        if name == "ops":
            code.load(R.R3, R.STACK, _OWN_OPS, 8)
            code.compute(R.R2, "-", R.R3)
        code.store(R.R1, column.offset, R.R2, column.size)
    code.compute(_OFFSET, "+", ELEMENT_STRUCT.size)
    code.load(_NET, R.STACK, _NEXT, 8)
    code.compute(_NET, "-", following.offset)
    code.load(R.R1, R.STACK, _OWN, 8)
    code.jump_if(_NET, "==", R.R1, "whole")
    code.jump_if(_OFFSET, "<", ring_bytes(most), "element")
    code.jump("walked")
    code.label("whole")
    _put_in_head(code, ring_fd, "is_whole", 1)
    code.label("walked")
    _put_in_head(code, ring_fd, "bytes", _OFFSET)


def _members_of_ns(layout: Layout) -> dict[str, Field]:
    """Those of ``struct ns_common`` that are wanted, without those that the kernel lacks."""
    return {
        name: layout.field(paths[0])
        for name, all_paths in _MEMBERS_OF_NS.items()
        if (paths := [path for path in all_paths if path in layout.fields])
    }


def _put_in_head(code: Assembler, ring_fd: int, name: str, source: R | int) -> None:
    column = _RING_HEAD_COLUMNS[name]
    code.map_value(R.R1, ring_fd)
    code.note(name)
    if isinstance(source, R):
        code.store(R.R1, column.offset, source, column.size)
    else:
        code.store_number(R.R1, column.offset, source, column.size)
