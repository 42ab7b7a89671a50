"""The program at the end of every system call, for both machines."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

import pytest

from sockwatch.kernel.bpf import loader, syscall
from sockwatch.kernel.bpf.errors import BpfUnavailable
from sockwatch.kernel.bpf.layout import Layout, read_layout
from sockwatch.kernel.failures.bursts import Bursts
from sockwatch.kernel.failures.machines import MACHINES, this_machine
from sockwatch.kernel.failures.program import TRANSIENT, failure_program
from tests.support.privilege import needs_btf, needs_root, needs_task_files

# What the headers of the kernel say: arch/x86/include/uapi/asm/ptrace.h,
# arch/arm64/include/asm/ptrace.h, and the tables of system calls.
EXPECTED = {
    "x86_64": {"number": (120, 8), "arguments": [(112, 8), (96, 4), (104, 8)], "calls": [49, 50]},
    "aarch64": {"number": (280, 4), "arguments": [(272, 8), (16, 4), (8, 8)], "calls": [200, 201]},
}
PROBE_READ_KERNEL = 113
NO_LAYOUT = Layout({}, {})


def instructions(code: bytes) -> list[tuple[int, int, int, int, int]]:
    """(opcode, target, source, offset, immediate) of each."""
    found = []
    for opcode, registers, offset, immediate in struct.iter_unpack("<BBhi", code):
        found.append((opcode, registers & 15, registers >> 4, offset, immediate))
    return found


def kernel_reads(code: bytes) -> list[tuple[int, int]]:
    """(offset from the base, size) of each read of kernel memory, in order."""
    listed = instructions(code)
    reads = []
    for place, (opcode, _, _, _, immediate) in enumerate(listed):
        if (opcode, immediate) == (0x85, PROBE_READ_KERNEL):
            # The offset is added four before the call, the size set just before it.
            reads.append((listed[place - 4][4], listed[place - 1][4]))
    return reads


@pytest.mark.parametrize("name", list(EXPECTED))
def test_registers_and_numbers(name: str) -> None:
    code = failure_program(
        this_machine(name), NO_LAYOUT, ring_fd=3, lost_fd=4, bursts_fd=5, pid_namespace=0xEFFFFFFC
    ).assemble()
    expected = EXPECTED[name]
    assert kernel_reads(code) == [expected["number"], *expected["arguments"]]
    compared = [i for o, _, _, _, i in instructions(code) if o in (0x15, 0x55)]  # == and !=
    calls = expected["calls"]
    assert compared[:3] == [-errno.EAGAIN, calls[0], calls[1]]
    assert set(compared[3 : 3 + len(TRANSIENT)]) == {-number for number in TRANSIENT}


def test_the_registers_of_this_machine_are_those_of_its_btf() -> None:
    if os.uname().machine != "x86_64" or not Path("/sys/kernel/btf/vmlinux").exists():
        pytest.skip("needs the BTF of an x86-64 kernel")
    from sockwatch.kernel.bpf.btf import Btf

    btf = Btf(Path("/sys/kernel/btf/vmlinux").read_bytes(), ["pt_regs"])
    machine = MACHINES["x86_64"]
    for place, member in zip(
        (machine.number, *machine.arguments), ("orig_ax", "di", "si", "dx"), strict=True
    ):
        field = btf.field(f"pt_regs.{member}")
        assert field is not None
        assert (field.offset, field.size) == place


def test_most_calls_pass_after_two_instructions_and_a_jump() -> None:
    code = failure_program(
        this_machine("x86_64"), NO_LAYOUT, ring_fd=3, lost_fd=4, bursts_fd=5, pid_namespace=1
    ).assemble()
    listed = instructions(code)
    assert [opcode for opcode, *_ in listed[:3]] == [0xBF, 0x79, 0x75]  # move, load, s>=
    assert 2 + 1 + listed[2][3] == len(listed) - 2  # to the end: r0 = 0, exit


@needs_task_files
@pytest.mark.parametrize("name", list(MACHINES))
@pytest.mark.parametrize("with_layout", [True, False])
@needs_root
@needs_btf
def test_the_verifier_takes_it(name: str, with_layout: bool) -> None:
    """The one for the other machine too: to the verifier its registers are mere offsets."""
    ring = syscall.map_create(syscall.RING_MAP, 0, 0, 4096, "test")
    lost = syscall.map_create(syscall.ARRAY_MAP, 4, 8, 1, "test")
    bursts = Bursts()
    try:
        code = failure_program(
            this_machine(name),
            read_layout() if with_layout else NO_LAYOUT,
            ring_fd=ring,
            lost_fd=lost,
            bursts_fd=bursts.fd,
            pid_namespace=0xEFFFFFFC,
        ).assemble()
        program = syscall.Program(syscall.RAW_TRACEPOINT_PROGRAM, code, "test")
        os.close(syscall.prog_load(program))
    finally:
        os.close(ring)
        os.close(lost)
        os.close(bursts.fd)


def test_another_machine() -> None:
    for name in ("riscv64", "i686"):
        with pytest.raises(BpfUnavailable) as caught:
            this_machine(name)
        assert caught.value.reason == "unsupported-machine"


@needs_root
def test_a_tracepoint_that_is_not_there() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(BpfUnavailable):
        loader.load_raw_tracepoint(bytes.fromhex("b700000000000000 9500000000000000"), "t", "none")
    assert sorted(os.listdir("/proc/self/fd")) == before
