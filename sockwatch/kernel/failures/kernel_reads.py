"""Reads of kernel memory for programs to which kernel pointers are plain numbers.

A read that fails gives zeros, as the kernel's helpers do, so a chain of pointers with a NULL in it
yields zero and does not fault.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from sockwatch.kernel.bpf.assembler import Assembler, Column, R, StackRecord
from sockwatch.kernel.bpf.snippets import (
    PIDTYPE_TGID,
    copy_from_kernel,
    put_flags,
    upid_bytes,
)

if TYPE_CHECKING:
    from sockwatch.kernel.bpf.btf import Field
    from sockwatch.kernel.bpf.layout import Layout

_SCRATCH_BYTES = 16
_PID_LEVELS = 8  # nested pid namespaces that are searched; the kernel allows 32


class KernelReads:
    """Emits reads into a record on the stack; eight bytes below it are its scratch."""

    def __init__(self, code: Assembler, record: StackRecord) -> None:
        self._code = code
        self._record = record
        self._scratch = record.start - _SCRATCH_BYTES

    def read(self, target: R, base: R, location: Column | Field) -> None:
        """Load the value at base + offset; r1 to r5 are lost."""
        self._probe(self._scratch, base, location)
        self._code.load(target, R.STACK, self._scratch, location.size)

    def read_field(self, target: R, base: R, field: Field) -> None:
        """Load a struct member; a bit field is cut out of its byte."""
        if not field.bits:
            self.read(target, base, field)
            return
        self.read(target, base, field._replace(size=1))
        self._code.cut_bits(target, field)

    def copy_field(self, name: str, base: R, field: Field) -> None:
        """A struct member into a column of the record, which may be narrower."""
        self.read_field(R.R1, base, field)
        self._code.put(self._record, name, R.R1)

    def copy_bytes(self, name: str, base: R, field: Field) -> None:
        """The bytes of a struct member, as many as the column holds at most."""
        column = self._record.columns[name]
        field = field._replace(size=min(column.size, field.size))
        self._probe(self._record.start + column.offset, base, field)

    def copy_socket_flags(self, sock: R, layout: Layout) -> None:
        """Both reuse flags and IPV6_V6ONLY, as in the iterators' rows. r9 is lost."""
        put_flags(
            self._code,
            self._record,
            layout,
            lambda to, field: self.read_field(to, sock, field),
            into=R.R9,
        )

    def copy_socket_address(self, sock: R, layout: Layout) -> None:
        """The local address by the family, which is in the record already."""
        code = self._code
        code.get(R.R1, self._record, "family")
        code.jump_if(R.R1, "==", socket.AF_INET6, "ipv6 address")
        code.jump_if(R.R1, "!=", socket.AF_INET, "address copied")
        self.copy_bytes("address", sock, layout.field("sock_common.skc_rcv_saddr"))
        code.jump("address copied")
        code.label("ipv6 address")
        if "sock_common.skc_v6_rcv_saddr" in layout.fields:  # else a kernel built without IPv6
            self.copy_bytes("address", sock, layout.field("sock_common.skc_v6_rcv_saddr"))
        code.label("address copied")

    def copy_pid(self, name: str, task: R, layout: Layout, pid_namespace: int) -> None:
        """The number of a task's process in that pid namespace; 0 if it has none there.

        As ``task_tgid_nr_ns()`` of kernel/pid.c. r8 and r9 are lost.
        """
        code, done = self._code, f"{name} copied"
        self.read_field(R.R1, task, layout.field("task_struct.signal"))
        pids = layout.field("signal_struct.pids")
        self.read(R.R8, R.R1, Column(pids.offset + 8 * PIDTYPE_TGID, 8))
        code.jump_if(R.R8, "==", 0, done)
        self.read_field(R.R9, R.R8, layout.field("pid.level"))
        number, namespace = layout.field("upid.nr"), layout.field("upid.ns")
        for level in range(_PID_LEVELS):
            start = layout.field("pid.numbers").offset + level * upid_bytes(layout)
            code.jump_if(R.R9, "<", level, done)
            self.read(R.R1, R.R8, Column(start + namespace.offset, namespace.size))
            self.read_field(R.R1, R.R1, layout.field("pid_namespace.ns.inum"))
            code.number_64(R.R2, pid_namespace)
            code.jump_if(R.R1, "!=", R.R2, f"{name} not on level {level}")
            self.read(R.R1, R.R8, Column(start + number.offset, number.size))
            code.put(self._record, name, R.R1)
            code.jump(done)
            code.label(f"{name} not on level {level}")
        code.label(done)

    def _probe(self, to: int, base: R, location: Column | Field) -> None:
        copy_from_kernel(self._code, to, base, location)
