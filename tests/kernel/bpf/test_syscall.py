"""The attributes of bpf(2), byte by byte."""

from __future__ import annotations

import errno
import os
import struct

import pytest

from sockwatch.kernel.bpf import syscall
from sockwatch.kernel.bpf.errors import BpfUnavailable
from sockwatch.kernel.bpf.iterators import SocketIterators
from sockwatch.kernel.bpf.syscall import Program


class Kernel:
    """Takes the place of bpf(2): keeps each call, answers what it is told."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[int, bytes]] = []

    def __call__(self, command: int, attr: bytearray) -> int:
        self.calls.append((command, bytes(attr)))
        answer = self.answers.pop(0) if self.answers else 0
        if answer < 0:
            raise OSError(-answer, os.strerror(-answer))
        return answer


def use(monkeypatch: pytest.MonkeyPatch, *answers: int) -> Kernel:
    kernel = Kernel(*answers)
    monkeypatch.setattr(syscall, "bpf", kernel)
    return kernel


def test_numbers_of_the_call() -> None:
    assert syscall.system_call_number("x86_64") == 321
    assert syscall.system_call_number("aarch64") == 280
    for machine in ("riscv64", "i686", "s390x"):
        with pytest.raises(BpfUnavailable) as caught:
            syscall.system_call_number(machine)
        assert caught.value.reason == "unsupported-machine"
        assert machine in str(caught.value)


def test_opening_on_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syscall, "_NUMBERS", {})
    with pytest.raises(BpfUnavailable) as caught:
        SocketIterators()
    assert caught.value.reason == "unsupported-machine"


def test_prog_load_attr() -> None:
    program = Program(26, bytes(24), "sockwatch_tcp", 28, 0x1234)
    attr = syscall.prog_load_attr(program, code_address=0x1111, licence=0x2222)
    expected = (
        struct.pack("<II", 26, 3)
        + struct.pack("<QQ", 0x1111, 0x2222)
        + bytes(16)  # no log
        + bytes(8)  # kern_version, prog_flags
        + b"sockwatch_tcp\0\0\0"
        + struct.pack("<II", 0, 28)
        + bytes(36)
        + struct.pack("<II", 0x1234, 0)
    )
    assert len(expected) == 116
    assert bytes(attr) == expected.ljust(128, b"\0")


def test_prog_load_attr_with_a_log_and_a_long_name() -> None:
    program = Program(5, bytes(16), "a_name_that_is_too_long")
    attr = syscall.prog_load_attr(
        program, code_address=1, licence=2, log_address=0x3333, log_bytes=4096
    )
    assert attr[24:40] == struct.pack("<IIQ", 1, 4096, 0x3333)
    assert attr[48:64] == b"a_name_that_is_\0"


def test_small_attrs(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = use(monkeypatch, 7, 8, 9)
    assert syscall.map_create(1, 28, 24, 65536, "m") == 7
    assert syscall.link_create(5) == 8
    assert syscall.iter_create(6) == 9
    assert syscall.raw_tracepoint_open("sys_exit", 6) == 0
    (create, link, run, tracepoint) = kernel.calls
    assert create == (
        0,
        (struct.pack("<IIIIIII", 1, 28, 24, 65536, 0, 0, 0) + b"m").ljust(128, b"\0"),
    )
    assert link == (28, struct.pack("<IIII", 5, 0, 28, 0).ljust(128, b"\0"))
    assert run == (33, struct.pack("<II", 6, 0).ljust(128, b"\0"))
    assert (tracepoint[0], tracepoint[1][8:]) == (17, struct.pack("<I", 6).ljust(120, b"\0"))


def test_a_signal_during_verification_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program(5, bytes(16), "p")
    kernel = use(monkeypatch, -errno.EAGAIN, -errno.EAGAIN, 11)
    assert syscall.prog_load(program) == 11
    assert len(kernel.calls) == 3
    kernel = use(monkeypatch, *[-errno.EAGAIN] * 9)
    with pytest.raises(BlockingIOError):
        syscall.prog_load(program)
    assert len(kernel.calls) == 5


def test_a_log_that_does_not_fit_gets_more_room(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = use(monkeypatch, -errno.ENOSPC, -errno.EACCES)
    syscall.prog_load_log(Program(5, bytes(16), "p"))
    sizes = [struct.unpack_from("<I", attr, 28)[0] for _, attr in kernel.calls]
    assert sizes == [1 << 20, 1 << 22]
