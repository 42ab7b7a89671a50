"""Where a machine keeps the arguments of a system call, and the numbers of the two we watch.

Calls of 32-bit programs have numbers of their own (i386: bind 361, arm: 282). For i386
and arm the numbers below are getuid()-like calls, which cannot fail; x32 sets bit 30. So calls of
32-bit programs are not watched.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from sockwatch.kernel.bpf.assembler import Column
from sockwatch.kernel.bpf.errors import BpfUnavailable


class Machine(NamedTuple):
    """Offsets in ``struct pt_regs`` when a call returns, and system call numbers."""

    number: Column
    arguments: tuple[Column, Column, Column]
    bind: int
    listen: int


MACHINES = {
    # arch/x86/include/uapi/asm/ptrace.h: orig_ax; di, si, dx
    "x86_64": Machine(Column(120, 8), (Column(112, 8), Column(104, 8), Column(96, 8)), 49, 50),
    # arch/arm64/include/asm/ptrace.h: syscallno; orig_x0, since x0 holds the result; x1, x2
    "aarch64": Machine(Column(280, 4), (Column(272, 8), Column(8, 8), Column(16, 8)), 200, 201),
}


def this_machine(name: str | None = None) -> Machine:
    """Raises BpfUnavailable (unsupported-machine)."""
    name = name or os.uname().machine
    try:
        return MACHINES[name]
    except KeyError:
        raise BpfUnavailable(
            "unsupported-machine",
            f"failed calls cannot be watched on {name} (only {', '.join(MACHINES)})",
        ) from None
