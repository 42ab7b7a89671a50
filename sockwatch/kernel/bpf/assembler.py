"""A small assembler for BPF: named registers, labels, struct members and stack records.

Instruction format: Documentation/bpf/standardization/instruction-set.rst of the kernel. It is the
same on every little-endian machine.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from sockwatch.model import SockwatchError

if TYPE_CHECKING:
    from sockwatch.kernel.bpf.btf import Field

STACK_BYTES = 512
_INSTRUCTION = struct.Struct("<BBhi")  # opcode, registers, offset, immediate


class R(IntEnum):
    """r0 is what a call returns, r1-r5 its arguments (lost by it), r6-r9 survive it."""

    R0 = 0
    R1 = 1
    R2 = 2
    R3 = 3
    R4 = 4
    R5 = 5
    R6 = 6
    R7 = 7
    R8 = 8
    R9 = 9
    STACK = 10  # the end of the stack; records lie below it


_LDX, _ST, _STX = 0x61, 0x62, 0x63  # memory modes, for 4 bytes
_ATOMIC_ADD = 0xDB  # for 8 bytes
_SIZE_BITS = {4: 0x00, 2: 0x08, 1: 0x10, 8: 0x18}
_ALU64_IMM, _ALU64_REG = 0x07, 0x0F
_ALU = {"+": 0x00, "-": 0x10, "|": 0x40, "&": 0x50, "<<": 0x60, ">>": 0x70, "=": 0xB0}
_JUMP_IMM, _JUMP_REG = 0x05, 0x0D
_COMPARE = {
    "==": 0x10,
    ">": 0x20,
    ">=": 0x30,
    "&": 0x40,  # any of these bits set
    "!=": 0x50,
    "s>": 0x60,  # signed
    "s>=": 0x70,
    "<": 0xA0,
    "<=": 0xB0,
    "s<": 0xC0,
    "s<=": 0xD0,
}
_GOTO, _CALL, _EXIT, _LOAD_64 = 0x05, 0x85, 0x95, 0x18
_IS_MAP, _IS_MAP_VALUE = 1, 2  # BPF_PSEUDO_MAP_FD, BPF_PSEUDO_MAP_VALUE


class AssemblerError(SockwatchError):
    """The program cannot be encoded: a mistake in it, not in the machine."""


class Column(NamedTuple):
    """One value of a record: bytes from the record's start, and width in bytes."""

    offset: int
    size: int


class StackRecord:
    """A record on the program's stack, `below` bytes under its end."""

    def __init__(self, columns: dict[str, Column], size: int, below: int) -> None:
        if size % 8 or below % 8 or not size <= below <= STACK_BYTES:
            raise AssemblerError(f"a record of {size} bytes does not fit at {-below}")
        self.columns = columns
        self.size = size
        self.start = -below


class Instruction(NamedTuple):
    """One slot of the program; the offset of a jump is its label's."""

    opcode: int
    target: int
    source: int
    offset: int
    immediate: int


class Source(NamedTuple):
    """A program before it is encoded. Jumps and notes are by the index of their instruction."""

    code: tuple[Instruction, ...]
    labels: dict[str, int]
    jumps: dict[int, str]
    notes: dict[int, str]


class Assembler:
    """Collects instructions; `assemble()` resolves the labels."""

    def __init__(self) -> None:
        self._code: list[Instruction] = []
        self._labels: dict[str, int] = {}
        self._jumps: dict[int, str] = {}
        self._notes: dict[int, str] = {}

    @property
    def source(self) -> Source:
        """The program as it was written, for people to read."""
        return Source(tuple(self._code), dict(self._labels), dict(self._jumps), dict(self._notes))

    def note(self, text: str) -> None:
        """Say of the next instruction what it is about."""
        if text:
            self._notes[len(self._code)] = text

    def label(self, name: str) -> None:
        """Give the next instruction a name that jumps can use. Raises AssemblerError."""
        if name in self._labels:
            raise AssemblerError(f"label {name} is there twice")
        self._labels[name] = len(self._code)

    def load(self, target: R, base: R, offset: int, size: int) -> None:
        """Load `size` bytes at base + offset, zero-extended."""
        self._emit(_LDX | _SIZE_BITS[size], target, base, offset)

    def store(self, base: R, offset: int, source: R, size: int) -> None:
        """Store the lowest `size` bytes of a register at base + offset."""
        self._emit(_STX | _SIZE_BITS[size], base, source, offset)

    def store_number(self, base: R, offset: int, number: int, size: int) -> None:
        """Store a constant of `size` bytes at base + offset."""
        self._emit(_ST | _SIZE_BITS[size], base, 0, offset, number)

    def add_atomically(self, base: R, offset: int, source: R) -> None:
        """Add to the 8 bytes at base + offset, which other processors may count in as well."""
        self._emit(_ATOMIC_ADD, base, source, offset)

    def load_field(self, target: R, base: R, field: Field) -> None:
        """Load a struct member; a bit field is cut out of its byte."""
        self.note(field.name)
        if not field.bits:
            self.load(target, base, field.offset, field.size)
            return
        self.load(target, base, field.offset, 1)
        self.cut_bits(target, field)

    def cut_bits(self, target: R, field: Field) -> None:
        """Leave of a loaded byte the bit field in it."""
        if field.shift + field.bits > 8:
            raise AssemblerError("a bit field may not cross a byte")
        if field.shift:
            self.compute(target, ">>", field.shift)
        self.compute(target, "&", (1 << field.bits) - 1)

    def put(self, record: StackRecord, name: str, source: R | int) -> None:
        """Store a register or a number into a column of a record."""
        column = record.columns[name]
        self.note(name)
        if isinstance(source, R):
            self.store(R.STACK, record.start + column.offset, source, column.size)
        else:
            self.store_number(R.STACK, record.start + column.offset, source, column.size)

    def get(self, target: R, record: StackRecord, name: str) -> None:
        """Load a column of a record."""
        column = record.columns[name]
        self.note(name)
        self.load(target, R.STACK, record.start + column.offset, column.size)

    def clear(self, record: StackRecord) -> None:
        """Fill a record with zeros."""
        for offset in range(0, record.size, 8):
            self.store_number(R.STACK, record.start + offset, 0, 8)

    def address_of(self, target: R, record: StackRecord) -> None:
        """Load the address of a record."""
        self.compute(target, "=", R.STACK)
        self.compute(target, "+", record.start)

    def compute(self, target: R, operator: str, operand: R | int) -> None:
        """64-bit ``target operator= operand``; the operator ``=`` assigns."""
        if isinstance(operand, R):
            self._emit(_ALU64_REG | _ALU[operator], target, operand)
        else:
            self._emit(_ALU64_IMM | _ALU[operator], target, immediate=operand)

    def number_64(self, target: R, number: int) -> None:
        """Load a 64-bit constant."""
        self._emit_64(target, 0, number)

    def map_pointer(self, target: R, map_fd: int) -> None:
        """Load the address of a map, as helpers take it."""
        self._emit_64(target, _IS_MAP, map_fd)

    def map_value(self, target: R, map_fd: int, offset: int = 0) -> None:
        """Load the address of the only value of an array map."""
        self._emit_64(target, _IS_MAP_VALUE, offset << 32 | map_fd)

    def jump_if(self, left: R, comparison: str, right: R | int, label: str) -> None:
        """Jump if the 64-bit comparison holds; ``s>`` and its like are signed."""
        self._jumps[len(self._code)] = label
        if isinstance(right, R):
            self._emit(_JUMP_REG | _COMPARE[comparison], left, right)
        else:
            self._emit(_JUMP_IMM | _COMPARE[comparison], left, immediate=right)

    def jump(self, label: str) -> None:
        """Jump to the label."""
        self._jumps[len(self._code)] = label
        self._emit(_GOTO)

    def call(self, helper: int) -> None:
        """Call a helper of bpf-helpers(7) by its number; r1 to r5 are lost."""
        self._emit(_CALL, immediate=helper)

    def leave(self) -> None:
        """Return 0 and exit, as an iterator has to."""
        self.compute(R.R0, "=", 0)
        self._emit(_EXIT)

    def assemble(self) -> bytes:
        """The program as the kernel takes it. Raises AssemblerError."""
        encoded = bytearray()
        for index, (opcode, target, source, offset, immediate) in enumerate(self._code):
            distance = offset
            if index in self._jumps:
                label = self._jumps[index]
                if label not in self._labels:
                    raise AssemblerError(f"label {label} is missing")
                distance = self._labels[label] - index - 1
            try:
                encoded += _INSTRUCTION.pack(opcode, source << 4 | target, distance, immediate)
            except struct.error as error:
                raise AssemblerError(f"instruction {index}: a number is out of range") from error
        return bytes(encoded)

    def _emit(
        self, opcode: int, target: int = 0, source: int = 0, offset: int = 0, immediate: int = 0
    ) -> None:
        self._code.append(Instruction(opcode, target, source, offset, immediate))

    def _emit_64(self, target: R, kind: int, number: int) -> None:
        """The one instruction of two slots: a 64-bit immediate, low half first."""
        if not -(1 << 63) <= number < 1 << 64:
            raise AssemblerError(f"{number} does not fit 64 bits")
        low, high = struct.unpack("<ii", struct.pack("<Q", number & (1 << 64) - 1))
        self._emit(_LOAD_64, target, kind, immediate=low)
        self._emit(0, immediate=high)
