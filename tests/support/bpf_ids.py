"""Which BPF programs and links a process keeps, and whether the kernel still has them."""

from __future__ import annotations

import errno
import os
import re
import struct
from pathlib import Path

from sockwatch.kernel.bpf import syscall

_PROG_GET_FD_BY_ID, _LINK_GET_FD_BY_ID = 13, 30


def kept_by(pid: int) -> tuple[set[int], set[int]]:
    """(program ids, link ids) of raw tracepoints among its fds: /proc/PID/fdinfo."""
    programs: set[int] = set()
    links: set[int] = set()
    for file in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            text = file.read_text()
        except FileNotFoundError:  # that of the listing itself, if the process is this one
            continue
        if re.search(r"^link_type:\s*raw_tracepoint$", text, re.MULTILINE):
            links.add(_number("link_id", text))
            programs.add(_number("prog_id", text))
    return programs, links


def exist(ids: tuple[set[int], set[int]]) -> bool:
    """Whether any of them is in the kernel."""
    programs, links = ids
    return any(
        _exists(command, number)
        for command, numbers in ((_PROG_GET_FD_BY_ID, programs), (_LINK_GET_FD_BY_ID, links))
        for number in numbers
    )


def _number(name: str, text: str) -> int:
    found = re.search(rf"^{name}:\s*(\d+)$", text, re.MULTILINE)
    assert found is not None, text
    return int(found[1])


def _exists(command: int, number: int) -> bool:
    try:
        os.close(syscall.bpf(command, bytearray(struct.pack("<I", number).ljust(128, b"\0"))))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    return True
