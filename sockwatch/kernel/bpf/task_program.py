"""The program for iter/task: what every poll asks of each process.

Context: ``bpf_iter__task`` of kernel/bpf/task_iter.c. No lock of a process is taken, so a process
that is stuck in a page fault holds up nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sockwatch.kernel.bpf import rows
from sockwatch.kernel.bpf.assembler import Assembler, R, StackRecord
from sockwatch.kernel.bpf.helpers import SEQ_WRITE
from sockwatch.kernel.bpf.snippets import CTX, META, OBJECT, SEQ, load_pid

if TYPE_CHECKING:
    from sockwatch.kernel.bpf.layout import Layout

_FOUND = R.R6  # the context, at first
_TASK = R.R8
_RECORD = StackRecord(rows.TASK_COLUMNS, rows.TASK_STRUCT.size, rows.TASK_STRUCT.size)


def task_program(layout: Layout) -> Assembler:
    """A record for each process. Raises BpfUnavailable (old-kernel)."""
    code = Assembler()
    code.compute(CTX, "=", R.R1)
    code.load(R.R1, CTX, META, 8)
    code.load_field(SEQ, R.R1, layout.field("bpf_iter_meta.seq"))
    code.load(_TASK, CTX, OBJECT, 8)
    code.clear(_RECORD)
    code.jump_if(_TASK, "==", 0, "write")  # the closing record, of pid 0
    code.load_field(R.R1, _TASK, layout.field("task_struct.tgid"))
    code.load_field(R.R2, _TASK, layout.field("task_struct.pid"))
    code.jump_if(R.R1, "!=", R.R2, "done")  # a thread
    load_pid(code, layout, _TASK, "process")
    code.jump_if(R.R3, "==", 0, "done")  # it is in no pid namespace of ours
    code.put(_RECORD, "pid", R.R3)
    code.load_field(_FOUND, _TASK, layout.field("task_struct.real_parent"))
    load_pid(code, layout, _FOUND, "parent")
    code.put(_RECORD, "parent_pid", R.R3)
    for column, path in (
        ("started_ns", ("task_struct.start_boottime",)),
        ("state", ("task_struct.__state",)),
        ("exit_state", ("task_struct.exit_state",)),
        ("execs", ("task_struct.self_exec_id",)),
        ("uid", ("task_struct.real_cred", "cred.euid.val")),
        (
            "cgroup_id",
            ("task_struct.cgroups", "css_set.dfl_cgrp", "cgroup.kn", "kernfs_node.id"),
        ),
    ):
        code.compute(R.R1, "=", _TASK)
        for member in path:
            code.load_field(R.R1, R.R1, layout.field(member))
        code.put(_RECORD, column, R.R1)
    comm = layout.field("task_struct.comm").offset
    for half in (0, 8):
        code.load(R.R1, _TASK, comm + half, 8)
        code.store(R.STACK, _RECORD.start + _RECORD.columns["comm"].offset + half, R.R1, 8)
    code.label("write")
    code.compute(R.R1, "=", SEQ)
    code.address_of(R.R2, _RECORD)
    code.compute(R.R3, "=", _RECORD.size)
    code.call(SEQ_WRITE)
    code.label("done")
    code.leave()
    return code
