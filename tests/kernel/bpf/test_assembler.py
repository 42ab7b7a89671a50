"""The assembler against instructions written out by hand."""

from __future__ import annotations

import pytest

from sockwatch.kernel.bpf.assembler import Assembler, AssemblerError, Column, R, StackRecord
from sockwatch.kernel.bpf.btf import Field


def assembled(code: Assembler) -> list[str]:
    data = code.assemble()
    return [data[at : at + 8].hex(" ", 1) for at in range(0, len(data), 8)]


def test_moves_and_arithmetic() -> None:
    code = Assembler()
    code.compute(R.R6, "=", R.R1)
    code.compute(R.R2, "=", R.STACK)
    code.compute(R.R2, "+", -88)
    code.compute(R.R1, "-", R.R0)
    code.compute(R.R1, "&", 7)
    code.compute(R.R1, "|", R.R2)
    code.compute(R.R1, "<<", 4)
    code.compute(R.R1, ">>", 5)
    code.call(127)
    code.leave()
    assert assembled(code) == [
        "bf 16 00 00 00 00 00 00",
        "bf a2 00 00 00 00 00 00",
        "07 02 00 00 a8 ff ff ff",
        "1f 01 00 00 00 00 00 00",
        "57 01 00 00 07 00 00 00",
        "4f 21 00 00 00 00 00 00",
        "67 01 00 00 04 00 00 00",
        "77 01 00 00 05 00 00 00",
        "85 00 00 00 7f 00 00 00",
        "b7 00 00 00 00 00 00 00",
        "95 00 00 00 00 00 00 00",
    ]


def test_memory() -> None:
    code = Assembler()
    code.load(R.R1, R.R8, 19, 1)
    code.load(R.R1, R.R8, 14, 2)
    code.load(R.R1, R.R8, 20, 4)
    code.load(R.R7, R.R1, -8, 8)
    code.store(R.STACK, -64, R.R1, 1)
    code.store(R.STACK, -64, R.R1, 2)
    code.store(R.STACK, -64, R.R1, 4)
    code.store(R.R0, 8, R.R6, 8)
    code.store_number(R.STACK, -16, 0, 8)
    code.store_number(R.STACK, -16, -1, 4)
    code.store_number(R.STACK, -16, 6, 2)
    code.store_number(R.STACK, -16, 1, 1)
    code.add_atomically(R.R1, 8, R.R2)
    assert assembled(code) == [
        "71 81 13 00 00 00 00 00",
        "69 81 0e 00 00 00 00 00",
        "61 81 14 00 00 00 00 00",
        "79 17 f8 ff 00 00 00 00",
        "73 1a c0 ff 00 00 00 00",
        "6b 1a c0 ff 00 00 00 00",
        "63 1a c0 ff 00 00 00 00",
        "7b 60 08 00 00 00 00 00",
        "7a 0a f0 ff 00 00 00 00",
        "62 0a f0 ff ff ff ff ff",
        "6a 0a f0 ff 06 00 00 00",
        "72 0a f0 ff 01 00 00 00",
        "db 21 08 00 00 00 00 00",
    ]


def test_fields_and_bit_fields() -> None:
    code = Assembler()
    code.load_field(R.R1, R.R8, Field(12, 2))
    code.load_field(R.R1, R.R8, Field(19, 1, 0, 4))
    code.load_field(R.R2, R.R8, Field(19, 4, 5, 1))
    assert assembled(code) == [
        "69 81 0c 00 00 00 00 00",
        "71 81 13 00 00 00 00 00",
        "57 01 00 00 0f 00 00 00",
        "71 82 13 00 00 00 00 00",
        "77 02 00 00 05 00 00 00",
        "57 02 00 00 01 00 00 00",
    ]
    with pytest.raises(AssemblerError):
        code.load_field(R.R1, R.R8, Field(19, 4, 6, 3))


def test_jumps_forth_and_back() -> None:
    code = Assembler()
    code.label("start")
    code.jump_if(R.R8, "==", 0, "end")
    code.jump_if(R.R1, "!=", R.R2, "end")
    code.jump_if(R.R1, "s<=", R.R6, "start")
    code.jump_if(R.R1, "&", 4, "end")
    code.jump("start")
    code.label("end")
    code.leave()
    assert assembled(code) == [
        "15 08 04 00 00 00 00 00",
        "5d 21 03 00 00 00 00 00",
        "dd 61 fd ff 00 00 00 00",
        "45 01 01 00 04 00 00 00",
        "05 00 fb ff 00 00 00 00",
        "b7 00 00 00 00 00 00 00",
        "95 00 00 00 00 00 00 00",
    ]


def test_a_64_bit_immediate_takes_two_slots() -> None:
    code = Assembler()
    code.jump_if(R.R1, "==", 0, "end")
    code.number_64(R.R1, 0x1122334455667788)
    code.number_64(R.R1, -1)
    code.map_pointer(R.R2, 5)
    code.map_value(R.R9, 6, 16)
    code.label("end")
    code.leave()
    assert assembled(code)[:-2] == [
        "15 01 08 00 00 00 00 00",
        "18 01 00 00 88 77 66 55",
        "00 00 00 00 44 33 22 11",
        "18 01 00 00 ff ff ff ff",
        "00 00 00 00 ff ff ff ff",
        "18 12 00 00 05 00 00 00",
        "00 00 00 00 00 00 00 00",
        "18 29 00 00 06 00 00 00",
        "00 00 00 00 10 00 00 00",
    ]


def test_records_on_the_stack() -> None:
    record = StackRecord({"a": Column(0, 8), "b": Column(8, 2)}, 16, 24)
    code = Assembler()
    code.clear(record)
    code.put(record, "a", R.R1)
    code.put(record, "b", 3)
    code.get(R.R2, record, "b")
    code.address_of(R.R3, record)
    assert assembled(code) == [
        "7a 0a e8 ff 00 00 00 00",
        "7a 0a f0 ff 00 00 00 00",
        "7b 1a e8 ff 00 00 00 00",
        "6a 0a f0 ff 03 00 00 00",
        "69 a2 f0 ff 00 00 00 00",
        "bf a3 00 00 00 00 00 00",
        "07 03 00 00 e8 ff ff ff",
    ]
    for size, below in ((12, 16), (16, 8), (16, 520), (16, 20)):
        with pytest.raises(AssemblerError):
            StackRecord({}, size, below)


def test_mistakes_are_named() -> None:
    code = Assembler()
    code.label("here")
    with pytest.raises(AssemblerError, match="twice"):
        code.label("here")
    code.jump("nowhere")
    with pytest.raises(AssemblerError, match="nowhere is missing"):
        code.assemble()
    with pytest.raises(AssemblerError, match="64 bits"):
        code.number_64(R.R1, 1 << 64)


@pytest.mark.parametrize("distance", [32_767, 32_768])
def test_a_jump_reaches_16_bits(distance: int) -> None:
    code = Assembler()
    code.jump("far")
    for _ in range(distance):
        code.compute(R.R0, "=", 0)
    code.label("far")
    if distance > 32_767:
        with pytest.raises(AssemblerError, match="out of range"):
            code.assemble()
    else:
        assert code.assemble()[:8].hex() == "0500ff7f00000000"


def test_numbers_out_of_range() -> None:
    code = Assembler()
    code.compute(R.R1, "=", 1 << 31)
    with pytest.raises(AssemblerError, match="out of range"):
        code.assemble()
