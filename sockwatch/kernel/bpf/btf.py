"""Where the running kernel keeps its struct members, from its type information (BTF).

Format: Documentation/bpf/btf.rst and include/uapi/linux/btf.h of the kernel.
"""

from __future__ import annotations

import struct
import sys
from array import array
from typing import TYPE_CHECKING, NamedTuple

from sockwatch.model import SockwatchError

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAGIC = 0xEB9F
_HEADER = struct.Struct("=HBBIIIII")  # magic, version, flags, hdr_len, type off/len, str off/len
_POINTER_BYTES = 8

_INT, _PTR, _ARRAY, _STRUCT, _UNION, _ENUM, _FLOAT, _ENUM64 = 1, 2, 3, 4, 5, 6, 16, 19
_ALIASES = frozenset({8, 9, 10, 11, 18})  # TYPEDEF VOLATILE CONST RESTRICT TYPE_TAG
_FUNC = 12

# 32-bit words behind the three that every type has, by kind: a fixed number, and per vlen.
_FIXED_WORDS = (0, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0)
_WORDS_EACH = (0, 0, 0, 0, 3, 3, 2, 0, 0, 0, 0, 0, 0, 2, 0, 3, 0, 0, 0, 3)
_ALIAS_LIMIT = 32  # typedef of const of ...; a longer chain is a loop


class BtfError(SockwatchError):
    """The bytes are not BTF, or not of a version that we can read."""


class Field(NamedTuple):
    """A struct member: where it starts, in bytes from the outermost struct, and how wide it is.

    A bit field has `bits` > 0 and starts at bit `shift` (0 = lowest) of the byte at `offset`.
    `name` is for people who read a program.
    """

    offset: int
    size: int
    shift: int = 0
    bits: int = 0
    name: str = ""


class Btf:
    """An index over BTF bytes, for a known set of names: only these can be asked for.

    Raises BtfError if `data` is damaged or is not for this machine's byte order.
    """

    def __init__(self, data: bytes, names: Iterable[str]) -> None:
        words, self._strings = _sections(data)
        self._words = words
        self._named: dict[tuple[str, int], int] = {}  # (name, kind) -> type id
        self._starts = self._index({name.encode() for name in names})

    def function_id(self, name: str) -> int | None:
        """The type id of a kernel function, or None if there is none of that name."""
        return self._named.get((name, _FUNC))

    def field(self, path: str) -> Field | None:
        """The member ``struct.member.member`` names, or None if the kernel has no such member.

        Anonymous structs and unions on the way need no name. Pointers are not followed.
        """
        outer, *members = path.split(".")
        type_id = self._named.get((outer, _STRUCT))
        if type_id is None or not members:
            return None
        bit_offset = width = 0
        for member in members:
            location = self._member(type_id, member.encode())
            if location is None:
                return None
            type_id, offset, width = location
            bit_offset += offset
        size = self._size(type_id)
        if width:
            return Field(bit_offset // 8, size, bit_offset % 8, width)
        return Field(bit_offset // 8, size)

    def _index(self, names: set[bytes]) -> array[int]:
        wanted = self._string_offsets(names)
        words, count = self._words, len(self._words)
        starts = array("I", [0])  # type id 0 is void
        position = 0
        try:
            while position < count:
                info = words[position + 1]
                kind = info >> 24 & 31
                name = words[position]
                if name in wanted:
                    self._named.setdefault((wanted[name], kind), len(starts))
                starts.append(position)
                position += 3 + _FIXED_WORDS[kind] + _WORDS_EACH[kind] * (info & 0xFFFF)
        except IndexError as error:
            raise BtfError(f"BTF type {len(starts)} is cut off or of an unknown kind") from error
        if position != count:
            raise BtfError("the last BTF type is cut off")
        return starts

    def _string_offsets(self, names: set[bytes]) -> dict[int, str]:
        """Every string offset that reads as one of `names`: a name may be the tail of another."""
        offsets: dict[int, str] = {}
        for name in names:
            at = self._strings.find(name + b"\0")
            while at >= 0:
                offsets[at] = name.decode()
                at = self._strings.find(name + b"\0", at + 1)
        return offsets

    def _type(self, type_id: int) -> tuple[int, int, int]:
        """(position, info, size or type) of a type."""
        if not 0 < type_id < len(self._starts):
            raise BtfError(f"BTF type {type_id} does not exist")
        position = self._starts[type_id]
        return position, self._words[position + 1], self._words[position + 2]

    def _strip(self, type_id: int) -> int:
        """The type behind typedefs and qualifiers."""
        for _ in range(_ALIAS_LIMIT):
            _, info, target = self._type(type_id)
            if info >> 24 & 31 not in _ALIASES:
                return type_id
            type_id = target
        raise BtfError(f"BTF type {type_id} is a name for itself")

    def _member(self, type_id: int, name: bytes) -> tuple[int, int, int] | None:
        """(type id, bit offset, bit-field width) of a member; searches anonymous members too."""
        todo, seen = [(type_id, 0)], set()
        while todo:
            container, base = todo.pop()
            container = self._strip(container)
            position, info, _ = self._type(container)
            if container in seen or info >> 24 & 31 not in {_STRUCT, _UNION}:
                continue
            seen.add(container)
            for index in range(info & 0xFFFF):
                at = position + 3 + 3 * index
                name_off, member_type, offset = self._words[at : at + 3]
                width = 0
                if info >> 31:  # kind_flag: the offset word also holds a bit-field width
                    offset, width = offset & 0xFFFFFF, offset >> 24
                text = self._string(name_off)
                if text == name:
                    return member_type, base + offset, width
                if not text:
                    todo.append((member_type, base + offset))
        return None

    def _string(self, offset: int) -> bytes:
        end = self._strings.find(b"\0", offset)
        if end < 0:
            raise BtfError(f"BTF string {offset} does not exist")
        return self._strings[offset:end]

    def _size(self, type_id: int) -> int:
        """Bytes a value of the type takes; 0 for what has no size."""
        count = 1
        for _ in range(_ALIAS_LIMIT):
            position, info, size = self._type(self._strip(type_id))
            kind = info >> 24 & 31
            if kind == _ARRAY:
                type_id = self._words[position + 3]
                count *= self._words[position + 5]
            elif kind == _PTR:
                return count * _POINTER_BYTES
            elif kind in {_INT, _STRUCT, _UNION, _ENUM, _FLOAT, _ENUM64}:
                return count * size
            else:
                return 0
        raise BtfError(f"BTF type {type_id} is an array of itself")


def _sections(data: bytes) -> tuple[array[int], bytes]:
    """The type section as 32-bit words, and the string section."""
    if len(data) < _HEADER.size:
        raise BtfError("BTF is shorter than its header")
    magic, version, _, header_bytes, type_off, type_len, str_off, str_len = _HEADER.unpack_from(
        data
    )
    if magic != _MAGIC or version != 1:
        raise BtfError(f"this is not BTF version 1 for a {sys.byteorder}-endian machine")
    types = data[header_bytes + type_off :][:type_len]
    strings = data[header_bytes + str_off :][:str_len]
    if len(types) != type_len or len(strings) != str_len or type_len % 4:
        raise BtfError("BTF is cut off")
    words = array("I")
    words.frombytes(types)
    return words, strings
