"""The BTF reader, on bytes made by hand and on bad ones."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockwatch.kernel.bpf.btf import Btf, BtfError, Field

INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST = range(1, 11)
RESTRICT, FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64 = range(11, 20)


class Blob:
    """BTF written by hand: strings, then types numbered from 1."""

    def __init__(self) -> None:
        self.strings = bytearray(b"\0")
        self.types = bytearray()
        self.count = 0

    def name(self, text: str) -> int:
        if not text:
            return 0
        self.strings += text.encode() + b"\0"
        return len(self.strings) - len(text) - 1

    def add(
        self, kind: int, name: str, size_or_type: int, *tail: int, vlen: int = 0, flag: int = 0
    ) -> int:
        self.count += 1
        info = flag << 31 | kind << 24 | vlen
        self.types += struct.pack("=III", self.name(name), info, size_or_type)
        self.types += struct.pack(f"={len(tail)}I", *tail)
        return self.count

    def composite(
        self, kind: int, name: str, size: int, *members: tuple[str, int, int], flag: int = 0
    ) -> int:
        tail = [
            word
            for member, type_id, offset in members
            for word in (self.name(member), type_id, offset)
        ]
        return self.add(kind, name, size, *tail, vlen=len(members), flag=flag)

    def data(self, gap: int = 0) -> bytes:
        """`gap` bytes between types and strings: offsets, not order, count."""
        header = struct.pack(
            "=HBBIIIII",
            0xEB9F,
            1,
            0,
            24,
            0,
            len(self.types),
            len(self.types) + gap,
            len(self.strings),
        )
        return header + bytes(self.types) + bytes(gap) + bytes(self.strings)


def bits(offset: int, width: int) -> int:
    return width << 24 | offset


def every_kind() -> Blob:
    blob = Blob()
    u8 = blob.add(INT, "u8", 1, 8)
    u16 = blob.add(INT, "u16", 2, 16)
    u32 = blob.add(INT, "u32", 4, 32)
    pointer = blob.add(PTR, "", 3)
    array = blob.add(ARRAY, "", 0, u16, u32, 8)
    alias = blob.add(TYPEDEF, "uint_t", blob.count + 2)
    blob.add(VOLATILE, "", blob.count + 2)
    blob.add(CONST, "", blob.count + 2)
    blob.add(RESTRICT, "", blob.count + 2)
    blob.add(TYPE_TAG, "rcu", u32)
    enum = blob.add(ENUM, "colour", 4, 0, 1, 0, 2, vlen=2)
    enum64 = blob.add(ENUM64, "wide", 8, 0, 1, 0, vlen=1)
    blob.add(FWD, "later", 0)
    proto = blob.add(FUNC_PROTO, "", u32, 0, u8, 0, u16, vlen=2)
    blob.add(FUNC, "do_it", proto)
    blob.add(VAR, "variable", u32, 1)
    blob.add(DATASEC, ".data", 4, blob.count, 0, 4, vlen=1)
    float_ = blob.add(FLOAT, "double", 8)
    blob.add(DECL_TAG, "tag", u32, 0)
    inner = blob.composite(STRUCT, "inner", 8, ("low", u32, 0), ("high", alias, 32))
    flags = blob.composite(
        STRUCT, "", 4, ("one", u8, bits(0, 4)), ("two", u8, bits(4, 1)), ("hi", u8, bits(9, 3)),
        flag=1,
    )  # fmt: skip
    union = blob.composite(UNION, "", 8, ("whole", u32, 0), ("", flags, 0))
    qualified = blob.add(CONST, "", union)
    blob.composite(
        STRUCT,
        "outer",
        96,
        ("first", u8, 0),
        ("", qualified, 32),
        ("nested", inner, 64),
        ("pointer", pointer, 128),
        ("array", array, 192),
        ("enum", enum, 320),
        ("enum64", enum64, 384),
        ("real", float_, 448),
    )
    blob.add(FUNC, "outer", proto)  # a name may be there twice, of different kinds
    return blob


@pytest.mark.parametrize("gap", [0, 5])
def test_fields_of_every_kind(gap: int) -> None:
    btf = Btf(every_kind().data(gap), ["outer", "inner", "do_it", "uint_t"])
    expected = {
        "outer.first": Field(0, 1),
        "outer.whole": Field(4, 4),
        "outer.one": Field(4, 1, 0, 4),
        "outer.two": Field(4, 1, 4, 1),
        "outer.hi": Field(5, 1, 1, 3),
        "outer.nested": Field(8, 8),
        "outer.nested.low": Field(8, 4),
        "outer.nested.high": Field(12, 4),
        "outer.pointer": Field(16, 8),
        "outer.array": Field(24, 16),
        "outer.enum": Field(40, 4),
        "outer.enum64": Field(48, 8),
        "outer.real": Field(56, 8),
        "inner.high": Field(4, 4),
    }
    assert {path: btf.field(path) for path in expected} == expected


def test_functions_and_what_is_missing() -> None:
    btf = Btf(every_kind().data(), ["outer", "do_it", "uint_t", "gone"])
    assert btf.function_id("do_it") == 15
    assert btf.function_id("outer") == 25
    assert btf.function_id("uint_t") is None
    for path in ("outer", "outer.gone", "gone.first", "do_it.first", "outer.first.deeper"):
        assert btf.field(path) is None
    # Pointers are not followed, and a name not asked for is not there.
    assert btf.field("outer.pointer.low") is None
    assert btf.field("inner.low") is None


def test_a_name_may_be_the_tail_of_another() -> None:
    blob = Blob()
    u8 = blob.add(INT, "u8", 1, 8)
    blob.composite(STRUCT, "udp_sock", 1, ("x", u8, 0))
    tail = blob.strings.index(b"udp_sock") + 4
    blob.count += 1
    blob.types += struct.pack("=IIIIII", tail, 4 << 24 | 1, 4, blob.name("y"), u8, 24)
    assert Btf(blob.data(), ["sock"]).field("sock.y") == Field(3, 1)


def test_loops_end() -> None:
    blob = Blob()
    blob.add(TYPEDEF, "a", 2)
    blob.add(TYPEDEF, "b", 1)
    blob.composite(STRUCT, "self", 4, ("", 3, 0), ("", 3, 0), ("", 3, 0))
    blob.composite(STRUCT, "alias", 4, ("x", 1, 0))
    blob.add(ARRAY, "", 0, 5, 1, 2)
    blob.composite(STRUCT, "arrays", 4, ("x", 5, 0))
    btf = Btf(blob.data(), ["self", "alias", "arrays"])
    assert btf.field("self.x") is None
    for path in ("alias.x", "arrays.x"):
        with pytest.raises(BtfError):
            btf.field(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 24,
        every_kind().data()[:30],
        every_kind().data()[:-1],
        struct.pack(">HBBIIIII", 0xEB9F, 1, 0, 24, 0, 0, 0, 0),
        struct.pack("=HBBIIIII", 0xEB9F, 2, 0, 24, 0, 0, 0, 0),
        struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, 3, 3, 0) + b"abc",
        struct.pack("=HBBIIIIIIII", 0xEB9F, 1, 0, 24, 0, 12, 12, 0, 0, 20 << 24, 0),
        struct.pack("=HBBIIIIIIII", 0xEB9F, 1, 0, 24, 0, 12, 12, 0, 0, 4 << 24 | 1, 0),
        struct.pack("=HBBIIIIII", 0xEB9F, 1, 0, 24, 0, 4, 4, 0, 0),
    ],
)
def test_damage_is_our_error(data: bytes) -> None:
    with pytest.raises(BtfError):
        Btf(data, ["outer"])


def test_dangling_references_are_our_error() -> None:
    blob = Blob()
    blob.composite(STRUCT, "outer", 4, ("x", 99, 0))
    with pytest.raises(BtfError):
        Btf(blob.data(), ["outer"]).field("outer.x")
    blob.types[12:16] = struct.pack("=I", 9999)  # a member's name beyond the strings
    with pytest.raises(BtfError):
        Btf(blob.data(), ["outer"]).field("outer.x")


def ask_everything(data: bytes) -> None:
    try:
        btf = Btf(data, ["outer", "inner", "do_it"])
        btf.function_id("do_it")
        for path in ("outer.one", "outer.nested.high", "outer.array", "outer.real"):
            btf.field(path)
    except BtfError:
        pass


@given(st.binary(max_size=300))
def test_noise(data: bytes) -> None:
    ask_everything(data)
    ask_everything(struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, 40, 40, 40) + data)


@given(
    st.lists(
        st.tuples(st.integers(0, len(every_kind().data()) - 1), st.integers(0, 255)), max_size=8
    ),
    st.integers(0, 40),
)
def test_flipped_bytes(changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(every_kind().data())
    for position, value in changes:
        data[position] = value
    ask_everything(bytes(data[: len(data) - cut]))
