"""The programs as text: what a reviewer reads is what the kernel gets."""

from __future__ import annotations

import re
import struct

import pytest

from sockwatch.kernel.bpf.__main__ import MAPS, main, programs
from sockwatch.kernel.bpf.assembler import Assembler, R
from sockwatch.kernel.bpf.btf import Field
from sockwatch.kernel.bpf.layout import read_layout
from sockwatch.kernel.bpf.listing import HELPERS, listing
from tests.support.privilege import needs_btf


def test_each_kind_of_instruction() -> None:
    code = Assembler()
    code.load_field(R.R1, R.R6, Field(16, 4, name="sock_common.skc_family"))
    code.store(R.R6, -8, R.R1, 2)
    code.store_number(R.R6, 8, 7, 1)
    code.add_atomically(R.R6, 0, R.R1)
    code.compute(R.R1, "+", 5)
    code.compute(R.R1, "=", R.R2)
    code.number_64(R.R2, 0x1_0000_0002)
    code.map_pointer(R.R1, 1)
    code.map_value(R.R1, 2, 8)
    code.jump_if(R.R1, "s>=", R.R2, "the end")
    code.jump_if(R.R1, "!=", -98, "the end")
    code.call(127)
    code.jump("the end")
    code.label("the end")
    code.leave()
    lines = list(listing(code.source, MAPS))
    assert [re.sub(r"^ +\d+: ", "", line) for line in lines] == [
        "r1 = *(u32 *)(r6 + 16)                    ; sock_common.skc_family",
        "*(u16 *)(r6 - 8) = r1",
        "*(u8 *)(r6 + 8) = 7",
        "lock *(u64 *)(r6 + 0) += r1",
        "r1 += 5",
        "r1 = r2",
        "r2 = 0x100000002 ll",
        "r1 = map options",
        "r1 = value of map counts + 8",
        "if r1 s>= r2 goto the_end",
        "if r1 != -98 goto the_end",
        "call seq_write",
        "goto the_end",
        "the_end:",
        "r0 = 0",
        "exit",
    ]


@needs_btf
def test_every_program_is_listed_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0
    text = capsys.readouterr().out
    assert re.findall(r"^(\S+/\S+): \d+ instructions$", text, re.MULTILINE) == [
        "iter/tcp",
        "iter/udp",
        "iter/task_file",
        "iter/task_file",
        "iter/task",
        "iter/task",
        "iter/task_file",
        "raw_tracepoint/sys_exit",
    ]
    goals = set(re.findall(r"goto (\w+)", text))
    assert goals <= set(re.findall(r"^(\w+):$", text, re.MULTILINE))
    uncalled = set(HELPERS.values()) - set(re.findall(r"call (\w+)", text))
    assert uncalled <= {"get_current_task_btf"}  # it is for a PID namespace that is not the first
    for name in ("sock_common.skc_reuseport", "inode.i_ino", "cred.cap_effective"):
        assert f"; {name}\n" in text


@needs_btf
def test_a_line_for_each_instruction_of_the_code() -> None:
    for _, program in programs(read_layout()):
        encoded = [opcode for opcode, *_ in struct.iter_unpack("<BBhi", program.assemble())]
        lines = [line for line in listing(program.source, MAPS) if not line.endswith(":")]
        assert len(lines) == len(encoded) - encoded.count(0x18)
