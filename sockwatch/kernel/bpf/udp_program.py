"""The program for iter/udp: a row for each bound socket.

Context: ``bpf_iter__udp`` of net/ipv4/udp.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sockwatch.kernel.bpf.assembler import Assembler
from sockwatch.kernel.bpf.snippets import (
    ROW,
    SOCK,
    begin,
    copy_cookie,
    copy_inode,
    copy_key,
    end,
    skip_other_ports,
)

if TYPE_CHECKING:
    from sockwatch.kernel.bpf.layout import Layout


def udp_program(layout: Layout, options_fd: int) -> Assembler:
    """A row for each bound UDP socket. Raises BpfUnavailable (old-kernel)."""
    code = Assembler()
    begin(code, layout, options_fd)
    code.jump_if(SOCK, "==", 0, "last")
    skip_other_ports(code, layout)
    copy_key(code, layout)
    code.put(ROW, "udp", 1)
    copy_cookie(code, layout)
    copy_inode(code, layout, SOCK)
    code.jump("write")
    end(code)
    return code
